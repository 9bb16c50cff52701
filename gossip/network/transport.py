"""How the network and what carries its rows meet: the contract of transports.

A transport carries rows from rank to rank; what is sent to whom, what is summed with what weight and what it counts as
is the network's. A new one is a class with these methods. It may have another one that it hands on to what it does not
do itself; transports do not know each other, `gossip.network.connect` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from algorithms.compressors.message import Message
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums.mixing import RowAddresses, Scaled, Sums
from gossip.processes.communicator import Communicator
from gossip.spans import NO_SPANS, Spans

Rows = Tensor | Message  # (rows, d): a message has them packed

STREAMED = 1 << 25  # bytes of the stacks of a host that no cache keeps until they are read again
PLANS = 64  # kept ready; random schedules may have no end
UNLIMITED = 1 << 62


@dataclass
class Wire:
    """What this process has handed to others so far."""

    bytes: int = 0
    """How many bytes."""

    messages: int = 0
    """In how many messages."""

    def count(self, size: int, messages: int = 1) -> None:
        """So many bytes more, in so many messages."""
        self.bytes += size
        self.messages += messages


class Exchange(Protocol):
    """What the local nodes read in one round, from the moment it is sent until they are done with it."""

    @property
    def plan(self) -> HaloPlan:
        """Who reads what."""

    @property
    def sums(self) -> Sums:
        """How it is summed: which row of which source each term is."""

    @property
    def sources(self) -> Sequence[Rows]:
        """The local rows, then those of each of `plan.sources`, (rows, d), complete up to the columns waited for."""

    @property
    def columns(self) -> int:
        """How many columns the rows have."""

    @property
    def segment(self) -> int:
        """How many columns arrive at a time."""

    def wait(self, stop: int) -> None:
        """Wait until the columns before `stop` are there."""

    def finish(self) -> None:
        """The sources will not be read again; wait until what was sent may be changed."""


class Total(Protocol):
    """The sum of a stack over all nodes, from the moment it is begun."""

    def wait(self) -> Tensor:
        """(d,), once it is there."""


class Transport(Protocol):
    """What carries rows from rank to rank. All methods but `empty`, `exposed` and `sum` are collective."""

    @property
    def wire(self) -> Wire:
        """What this process has handed to others; what is counted there."""

    @property
    def ahead(self) -> int:
        """How many exchanges can be under way at once, besides one that is completed at once."""

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> Exchange:
        """Send rows to all who read them.

        Args:
            value: The local rows, (k, d).
            plan: Who reads what.
            posted: Whether others may be begun before this one is finished. All posted ones are finished in their
                order.
        """

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> Tensor | None:
        """What `begin` and `sum` come to, in one go, (k, d), where that takes less; None where it does not."""

    def sum(
        self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None
    ) -> None:
        """Write the sums of rows to `out`, in the way that suits this transport; see `Sums.into`."""

    def total(self, value: Tensor, posted: bool) -> Total:
        """Begin to sum a stack (k, d) over all n nodes."""

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """The rows of these nodes, (len(nodes), d) in this order, on every rank, of a stack (k, d)."""

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        """The same of a message."""

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(k, d), uninitialised, from where others can read what is sent next without a copy."""

    def exposed(self, stack: Tensor) -> bool:
        """Whether others may read from this memory although nothing is under way that has this very stack."""

    def advance(self) -> None:
        """Let what is under way go on, as far as it can without a wait."""

    def abandon(self) -> None:
        """Leave what is under way as it is: other ranks are gone. Not collective."""

    def close(self) -> None:
        """Free what this transport holds; nothing is under way. Stacks that it made stay valid."""


@dataclass(frozen=True)
class Site:
    """Where a transport works."""

    communicator: Communicator
    """The processes."""

    hosted: Sequence[Sequence[int]]
    """The nodes that each rank hosts, ascending."""

    spans: Spans = field(default=NO_SPANS)
    """Who is told what it does when."""

    @property
    def nodes(self) -> Sequence[int]:
        """The nodes of this rank."""
        return self.hosted[self.communicator.rank]

    @property
    def n(self) -> int:
        """The number of all nodes."""
        return sum(map(len, self.hosted))


MakeTransport = Callable[[Site], Transport]


def dense(sources: Sequence[Rows]) -> list[Tensor]:
    """What an exchange has brought, decoded, (rows, d) each."""
    return [source.dense() if isinstance(source, Message) else source for source in sources]


def columns_of(rows: Rows) -> int:
    """d of rows (rows, d)."""
    return rows.d if isinstance(rows, Message) else rows.shape[1]


def row_bytes_of(rows: Tensor) -> int:
    """Bytes of each row."""
    return rows.shape[1] * rows.itemsize
