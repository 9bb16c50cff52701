"""The transport by MPI's own neighbourhood collectives: an independent way to the same sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from gossip.network.plans.halo import HaloPlan, Indices
from gossip.network.sums.mixing import RowAddresses, Scaled, Sums
from gossip.network.sums.pages import as_bytes
from gossip.network.transport import PLANS, Rows, Total, Transport, Wire
from gossip.network.transports.links import WHOLE, LinkedExchange
from gossip.processes.mpi import MpiCommunicator


class NeighborCollective:
    """A `Transport` by MPI_Ineighbor_alltoallv on a graph of the ranks.

    Args:
        communicator: The processes.
        others: The transport that does all but exchanges between neighbours.
    """

    def __init__(self, communicator: MpiCommunicator, others: Transport) -> None:
        self._communicator = communicator
        self._others = others
        self._graphs: dict[HaloPlan, MPI.Distgraphcomm] = {}
        self._sums = lru_cache(maxsize=PLANS)(lambda plan: Sums(plan, plan.places))

    @property
    def wire(self) -> Wire:
        """See `Transport`."""
        return self._others.wire

    @property
    def ahead(self) -> int:
        """See `Transport`."""
        return self._others.ahead

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> LinkedExchange:
        """See `Transport`."""
        if isinstance(value, Message):
            packed = [np.concatenate([value.pack(row) for row in rows.tolist()]) for rows in plan.send.values()]
        else:
            packed = [as_bytes(value[torch.from_numpy(rows)].cpu()).reshape(-1) for rows in plan.send.values()]
        sizes = [len(each) for each in packed]
        self.wire.count(sum(sizes), len(sizes))
        link = CollectiveLink(self._communicator, self._graph(plan), value, packed, plan.receive)
        return LinkedExchange(plan, self._sums(plan), value, [link])

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> Tensor | None:
        """See `Transport`."""
        return None

    def sum(
        self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None
    ) -> None:
        """See `Transport`."""
        self._others.sum(sums, out, sources, plus)

    def total(self, value: Tensor, posted: bool) -> Total:
        """See `Transport`."""
        return self._others.total(value, posted)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """See `Transport`."""
        return self._others.rows(value, nodes)

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        """See `Transport`."""
        return self._others.packed_rows(message, nodes)

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """See `Transport`."""
        return self._others.empty(d, dtype, device)

    def exposed(self, stack: Tensor) -> bool:
        """See `Transport`."""
        return self._others.exposed(stack)

    def advance(self) -> None:
        """See `Transport`."""
        self._others.advance()

    def abandon(self) -> None:
        """See `Transport`."""
        self._others.abandon()

    def close(self) -> None:
        """See `Transport`."""
        self._others.close()
        while self._graphs:
            self._communicator.barrier()  # the call below spins
            self._graphs.pop(next(iter(self._graphs))).Free()

    def _graph(self, plan: HaloPlan) -> MPI.Distgraphcomm:
        """The communicator of this plan. MPI has only so many, so the oldest is given back for a new one."""
        if plan not in self._graphs:
            if len(self._graphs) == PLANS:
                self._graphs.pop(next(iter(self._graphs))).Free()
            self._communicator.barrier()  # the call below spins
            made = self._communicator.mpi.Create_dist_graph_adjacent(list(plan.receive), list(plan.send))
            self._graphs[plan] = made
        return self._graphs[plan]


class CollectiveLink:
    """Packed rows of all neighbours in one exchange, after one that tells how long they are."""

    def __init__(
        self,
        communicator: MpiCommunicator,
        graph: MPI.Distgraphcomm,
        value: Tensor | Message,
        packed: list[Bytes],
        receive: Mapping[int, Indices],
    ) -> None:
        self._communicator = communicator
        self._value = value
        self._receive = receive
        self.rows: Mapping[int, Rows] = {}
        self.segment = WHOLE
        sizes = np.array([len(each) for each in packed], np.int64)
        self._sent = np.concatenate([*packed, np.empty(0, np.uint8)])
        self._sizes = np.empty(len(receive), np.int64)
        self._wait_for(graph.Ineighbor_alltoall(sizes, self._sizes))
        self._received = np.empty(self._sizes.sum(), np.uint8)
        self._request = graph.Ineighbor_alltoallv(
            [self._sent, sizes, None, MPI.BYTE], [self._received, self._sizes, None, MPI.BYTE]
        )

    def wait(self, stop: int) -> None:
        if self.rows or not self._receive:
            return
        self._wait_for(self._request)
        pieces = np.split(self._received, np.cumsum(self._sizes)[:-1])
        self.rows = {
            source: self._unpack(piece, len(rows))
            for (source, rows), piece in zip(self._receive.items(), pieces, strict=True)
        }

    def finish(self) -> None:
        self.wait(0)
        self._wait_for(self._request)

    def _wait_for(self, request: MPI.Request) -> None:
        self._communicator.poll(request.Test, lambda: list(self._receive))

    def _unpack(self, piece: Bytes, expected: int) -> Rows:
        if isinstance(self._value, Message):
            return self._value.received(piece, expected)
        rows = torch.from_numpy(piece).view(self._value.dtype).view(-1, self._value.shape[1])
        return rows.to(self._value.device)
