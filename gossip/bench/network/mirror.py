"""What a rank computes between ranks, without any communication: it hears itself in the place of each neighbour."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from algorithms.compressors.message import Message
from gossip.network import Communicator, RunNetwork, Site, connect
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums.mixing import Scaled
from gossip.network.transport import Rows
from gossip.network.transports.one_process import HeldExchange, HeldTotal, OneProcess
from topologies import Schedule


class Mirror(OneProcess):
    """A transport to nobody. All packing, decoding and summing is done as between ranks, with the own row of a single
    node in the place of each other one.

    Args:
        site: The node.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(Site(Communicator(), [[0]]))
        self._n = site.n

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> HeldExchange:
        """See `Transport`."""
        exchange = super().begin(value, plan, posted)
        others = len(plan.sources)
        if isinstance(value, Message):
            packed = value.pack(0)
            exchange.sources += [value.received(packed, 1) for _ in range(others)]
        else:
            exchange.sources += [value] * others
        return exchange

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> None:  # type: ignore[override]
        """See `Transport`."""

    def total(self, value: Tensor, posted: bool) -> HeldTotal:
        """See `Transport`."""
        return HeldTotal(value * self._n)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """See `Transport`."""
        return value[[0] * len(nodes)]

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        """See `Transport`."""
        return message.of([message.pack(0) for _ in nodes])


def mirrored(topology: Schedule, rank: int) -> RunNetwork:
    """The network of one rank of as many as there are nodes, which hears itself only. Not collective."""
    alone = Communicator()
    alone.rank, alone.size = rank, topology.n
    return connect(topology, alone, transport=Mirror)
