"""The network between MPI processes by MPI's own neighbourhood collectives: an independent way to the same sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from gossip.network.network import PLANS, Rows
from gossip.network.plans.halo import HaloPlan, Indices
from gossip.network.sums.memory import as_bytes
from gossip.network.transports.peer_to_peer.transport import Link, PeerToPeerNetwork
from gossip.processes.mpi import MpiCommunicator
from topologies import Schedule


class NeighborCollectiveNetwork(PeerToPeerNetwork):
    """A contiguous block of nodes on each rank, linked by MPI_Ineighbor_alltoallv on a graph of the ranks.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes, rank r of which hosts the r-th block of nodes.
        seed: Seed of the random draws.
    """

    def __init__(
        self, topology: Schedule, communicator: MpiCommunicator, hosted: Sequence[Sequence[int]], seed: int = 0
    ) -> None:
        super().__init__(topology, communicator, hosted, seed)

        self._graphs: dict[HaloPlan, MPI.Distgraphcomm] = {}

    def _graph(self, plan: HaloPlan) -> MPI.Distgraphcomm:
        """The communicator of this plan. MPI has only so many, so the oldest is given back for a new one."""
        if plan not in self._graphs:
            if len(self._graphs) == PLANS:
                self._graphs.pop(next(iter(self._graphs))).Free()
            self.communicator.barrier()  # the call below spins
            made = self.communicator.mpi.Create_dist_graph_adjacent(list(plan.receive), list(plan.send))
            self._graphs[plan] = made
        return self._graphs[plan]

    def _link(
        self,
        value: Tensor | Message,
        plan: HaloPlan,
        posted: bool,
        send: Mapping[int, Indices],
        receive: Mapping[int, Indices],
    ) -> Link:
        if isinstance(value, Message):
            packed = [np.concatenate([value.pack(row) for row in rows.tolist()]) for rows in send.values()]
        else:
            packed = [as_bytes(value[torch.from_numpy(rows)].cpu()).reshape(-1) for rows in send.values()]
        sizes = [len(each) for each in packed]
        self._count_wire(sum(sizes), len(sizes))
        return CollectiveLink(self.communicator, self._graph(plan), value, packed, receive)


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
        self.segment = 1 << 62  # all columns at once
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
