"""The processes of a run and what they need of each other to set up: the same interface with and without MPI."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import cached_property
from math import inf
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossip.errors import GossipError, explained, of_own_code
from gossip.processes.calls import Calls
from gossip.processes.cores import usable_cores
from gossip.spans import NO_SPANS, Spans

T = TypeVar("T")


class StalledError(Exception):
    """Raised on a rank that has waited for others longer than it is to, while these may be in any state.

    Args:
        ranks: Those that it waits for; None where that is not known.
        seconds: For so long.
        what: The same in words.
    """

    def __init__(self, ranks: Sequence[int] | None, seconds: float, what: str) -> None:
        super().__init__(what)
        self.ranks = ranks
        self.seconds = seconds


class PartedError(Exception):
    """Raised on a rank that waits for another in a call that this one will not come to; it says which, in words."""


class Watch(Protocol):
    """Sees when ranks of this host are killed, and says which; `gossip.processes.watcher.Watch` is one."""

    def hush(self) -> None:
        """What has happened has been said."""

    def close(self) -> None:
        """No longer watch this rank."""


class Communicator:
    """A single process. `gossip.processes.mpi.MpiCommunicator` is the same for several.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        hosts: (size,) the host of each, as a number.
        local_size: Number of them on this host.
        local_cores: Number of cores that these may use together.
        patience: Seconds after which a wait for other ranks is given up.
        blocks: The nodes of each rank, once they are known, for messages.
        bereaved: Whether some processes have been lost.
        watch: Tells of ranks that are killed, where somebody watches.
        spans: Is told of waits, and of what those who have this communicator do.
        number: Of the optimizer that this is the communicator of, from 1 on, if it is one's.
        traceback: Whether errors in a user's own code are shown with all lines that they passed.
    """

    rank = 0
    size = 1
    hosts: NDArray[np.int64] = np.zeros(1, np.int64)
    local_size = 1
    local_cores = len(usable_cores())
    patience = inf
    blocks: Sequence[Sequence[int]] | None = None
    bereaved = False
    watch: Watch | None = None
    spans: Spans = NO_SPANS
    number = 1
    traceback = False

    @cached_property
    def calls(self) -> Calls:
        """That this rank has begun together with the others, who can see them."""
        return Calls()

    @property
    def name(self) -> str:
        """This process in words, for error messages."""
        return f"rank {self.rank} of {self.size} on {socket.gethostname()}"

    def from_root(self, function: Callable[[], T]) -> T:
        """Call a function on rank 0 alone; every rank gets its result.

        Raises:
            GossipError: on every rank, if the function raised one, or a ValueError, OSError or ImportError, or if a
                class of the user's own raised anything.
        """
        result, error = _attempt(function) if self.rank == 0 else (None, None)
        result, error = self.broadcast((result, error))
        if error is not None:
            raise error
        return result

    def together(self, function: Callable[[], T]) -> T:
        """Call a function on every rank; if it fails on any, all raise.

        What it communicates itself, if anything, must fail on all ranks alike.

        Raises:
            GossipError: on every rank, that of the first rank whose call raised one, or a ValueError, OSError
                or ImportError, or where a class of the user's own raised anything.
        """
        result, error = _attempt(function)
        failed = self.first_rank_where(error is not None)
        if failed is not None:
            raise self.broadcast(error, root=failed)
        return result

    def broadcast(self, value: Any, root: int = 0) -> Any:
        """The root's value (any picklable object), on every rank. For set-up, not for the loop."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks (picklable objects), in their order, on every rank. For set-up, not for the loop."""
        return [value]

    def collect(self, packed: bytes) -> list[bytes]:
        """What all ranks give, in their order, on rank 0; nothing on others. For what is too much for all of them."""
        return [packed]

    def confer(self, report: Any) -> dict[int, Any]:
        """What those ranks say that fail at about the same time: rank -> what it gave (a picklable object).

        For a rank that is about to end the job; the others need not take part.
        """
        return {self.rank: report}

    def post_maximum(self, values: Sequence[float]) -> Callable[[], list[float]]:
        """Begin to take the maxima over all ranks of so many numbers; what is given waits for them."""
        return lambda: list(values)

    def first_rank_where(self, flag: bool) -> int | None:
        """The lowest rank that gave True, on every rank; None if none did."""
        return 0 if flag else None

    def begin(self, call: str) -> None:
        """This rank begins a call that all ranks make together; see `gossip.processes.calls`."""
        self.calls.begin(call, self.number)

    def at_end(self, close: Callable[[], object]) -> None:
        """At the end of this process, call this when all ranks are at theirs; in a single process never."""

    def no_longer_at_end(self, close: Callable[[], object]) -> None:
        """Do not."""

    def barrier(self) -> None:
        """Wait until every rank is here, without burning the cores that others need."""

    def abort(self, code: int) -> None:
        """End all processes of the job with this exit code."""

    def close(self) -> None:
        """Free what this communicator holds."""


def _attempt(function: Callable[[], Any]) -> tuple[Any, GossipError | None]:
    try:
        return function(), None
    except (GossipError, ValueError, OSError, ImportError) as error:
        return None, explained(error)
    except Exception as error:
        own = of_own_code(error)
        if own is None:
            raise
        return None, own


def listed(numbers: Sequence[int], kind: str = "rank") -> str:
    """Ascending numbers in words: "rank 3", "ranks 0-2, 5"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    text = ", ".join(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans)
    return f"{kind}{'s' if len(numbers) > 1 else ''} {text}"
