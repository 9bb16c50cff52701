"""The transport where all nodes share this process, and nothing travels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.numerics.tree_sum import fold
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums.mixing import RowAddresses, Scaled, Sums
from gossip.network.sums.pages import stack_of
from gossip.network.transport import PLANS, STREAMED, UNLIMITED, Rows, Site, Wire, columns_of
from gossip.spans import timed


class HeldExchange:
    """What is there already: an `Exchange` of nodes that share a process.

    Args:
        plan: Who reads what.
        sums: How it is summed.
        own: (k, d), the local rows.
    """

    def __init__(self, plan: HaloPlan, sums: Sums, own: Rows) -> None:
        self.plan = plan
        self.sums = sums
        self.sources = [own]
        self.columns = self.segment = columns_of(own)

    def wait(self, stop: int) -> None:
        """See `Exchange`."""

    def finish(self) -> None:
        """See `Exchange`."""


class HeldTotal:
    """The sum of a stack (k, d) of nodes that share a process: a `Total`."""

    def __init__(self, value: Tensor) -> None:
        self._value = value

    def wait(self) -> Tensor:
        """See `Total`."""
        return fold(self._value)


class OneProcess:
    """A `Transport` between nodes that share this process.

    Args:
        site: The nodes.
    """

    ahead = UNLIMITED

    def __init__(self, site: Site) -> None:
        self.wire = Wire()
        self._nodes = site.n
        self._timed_sum = timed(site.spans, self.sum, "sum of rows", "compute")
        self._sums = lru_cache(maxsize=PLANS)(lambda plan: Sums(plan, plan.places))

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> HeldExchange:
        """See `Transport`."""
        return HeldExchange(plan, self._sums(plan), value)

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> Tensor:
        """See `Transport`."""
        mixed = stack_of(self._nodes, value.shape[1], value.dtype, value.device)
        self._timed_sum(self._sums(plan), mixed, [value], plus)
        return mixed

    def sum(
        self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None
    ) -> None:
        """See `Transport`."""
        sums.into(out, sources, plus, stream=out.nbytes >= STREAMED)

    def total(self, value: Tensor, posted: bool) -> HeldTotal:
        """See `Transport`."""
        return HeldTotal(value)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """See `Transport`."""
        return value[list(nodes)]

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        """See `Transport`."""
        return message.of([message.pack(node) for node in nodes])

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """See `Transport`."""
        return stack_of(self._nodes, d, dtype, device)

    def exposed(self, stack: Tensor) -> bool:
        """See `Transport`."""
        return False

    def advance(self) -> None:
        """See `Transport`."""

    def abandon(self) -> None:
        """See `Transport`."""

    def close(self) -> None:
        """See `Transport`."""
