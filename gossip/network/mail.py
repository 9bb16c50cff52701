"""Messages from node to node, one at a time, and how they go from process to process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor

from algorithms.compressors.message import Message

T = TypeVar("T")

SLEEP = 1e-3  # seconds between two looks at a timer


class Letter(NamedTuple):
    """What one node sends to another."""

    sender: int
    to: int
    value: Tensor | Message
    """A row (1, d), or a message of one."""
    label: str
    """What the receiver is to make of it."""
    cause: int
    """In which event it was sent, by the number that the sending process gives it."""

    @property
    def size(self) -> int:
        """Bytes of it."""
        return int(self.value.nbytes.sum()) if isinstance(self.value, Message) else self.value.nbytes

    @property
    def row(self) -> Tensor:
        """(1, d), as it is decoded; the receiver's own."""
        return self.value.dense().clone() if isinstance(self.value, Message) else self.value


class State(NamedTuple):
    """How far processes are together."""

    gradients: int
    """Those of all nodes."""

    more: bool
    """Whether any node will do more."""


class Mail(Protocol):
    """Carries letters between processes. From one rank to another they arrive in the order of sending."""

    @property
    def rank(self) -> int:
        """This process."""

    @property
    def hosted(self) -> Sequence[Sequence[int]]:
        """The nodes of each rank, in the order of its rows."""

    def send(self, rank: int, letter: Letter) -> None:
        """Send a letter to another rank, which need not wait for it yet."""

    def next(self, rank: int) -> Letter:
        """The next letter from another rank; waits for it."""

    def finish(self) -> list[Letter]:
        """Wait until all ranks are here, and all that they have sent; what has not been taken. Collective."""


class LiveMail(Protocol):
    """Carries letters between processes of which none knows when which ones will come.

    All processes come to marks together, again and again, at which nothing is under way.
    """

    @property
    def rank(self) -> int:
        """This process."""

    @property
    def hosted(self) -> Sequence[Sequence[int]]:
        """The nodes of each rank, in the order of its rows."""

    @property
    def outstanding(self) -> tuple[int, int]:
        """How many letters of this process others have not begun to take, and their bytes."""

    @property
    def state(self) -> State:
        """That of all processes, at the last mark."""

    def send(self, rank: int, letter: Letter) -> None:
        """Send a letter to another rank."""

    def waiting(self) -> bool:
        """Whether something has come."""

    def arrived(self) -> Letter | None:
        """A letter that has come, if there is one."""

    def enough(self, own: int, wanted: int) -> bool:
        """Whether all processes together have so many gradients, as far as is known here; asked again and again.

        Args:
            own: Those of this process.
            wanted: The same on all processes.
        """

    def over(self, own: int, more: bool) -> bool:
        """Whether no process will do anything before the next mark; asked again and again by one that will not.

        Not before all losses have been told.

        Args:
            own: How many gradients this process has.
            more: Whether it has something to do after the mark.
        """

    def losses(self) -> list[int]:
        """The nodes that have been lost, and of whom this has not been told yet."""

    def returned(self) -> list[Letter]:
        """Letters to lost nodes that these have not taken, as far as is known, in the order of sending, once each."""

    def mark(self) -> bool:
        """All is over, and all go on from here; collective. False if it is not, as there were losses meanwhile."""

    def recover(self) -> bool:
        """Go on with the ranks that are left; collective among them, at a mark. Whether none had been unknown."""

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until something has happened, without taking the core from others."""

    def gather(self, value: T) -> list[T]:
        """What all ranks give, in their order; collective, at a mark."""


class AllMail(Mail, LiveMail, Protocol):
    """Carries letters in both ways."""


class NoMail:
    """That of a single process, in which nothing has to travel.

    Args:
        n: The number of nodes.
    """

    rank = 0

    def __init__(self, n: int) -> None:
        self.hosted = [range(n)]
        self.state = State(0, True)

    def send(self, rank: int, letter: Letter) -> None:
        """There is no other rank."""
        raise AssertionError(f"a letter to rank {rank} of a single process")

    def next(self, rank: int) -> Letter:
        """There is no other rank."""
        raise AssertionError(f"a letter from rank {rank} of a single process")

    def finish(self) -> list[Letter]:
        """See `Mail`."""
        return []

    @property
    def outstanding(self) -> tuple[int, int]:
        """None."""
        return 0, 0

    def waiting(self) -> bool:
        """See `LiveMail`."""
        return False

    def arrived(self) -> Letter | None:
        """See `LiveMail`."""
        return None

    def enough(self, own: int, wanted: int) -> bool:
        """See `LiveMail`."""
        return own >= wanted

    def over(self, own: int, more: bool) -> bool:
        """See `LiveMail`."""
        self.state = State(own, more)
        return True

    def losses(self) -> list[int]:
        """None."""
        return []

    def returned(self) -> list[Letter]:
        """None."""
        return []

    def mark(self) -> bool:
        """See `LiveMail`."""
        return True

    def recover(self) -> bool:
        """Nobody else can be lost."""
        return True

    def wait(self, done: Callable[[], bool]) -> None:
        """See `LiveMail`."""
        while not done():
            time.sleep(SLEEP)

    def gather(self, value: T) -> list[T]:
        """See `LiveMail`."""
        return [value]
