"""The network of nodes spread over MPI processes: each sends the others just the rows that they need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mpi4py import MPI
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.message import Bytes, Message
from gossip.network.in_process import InProcessNetwork
from gossip.network.mpi import MpiCommunicator
from gossip.network.plan import HaloPlan
from gossip.network.tree import TreePlan, fold
from topologies import Schedule

HALO, MESSAGE, TREE = 1, 2, 3  # tags, which keep the three kinds of traffic apart


class PeerToPeerNetwork(InProcessNetwork):
    """A contiguous block of nodes on each rank, linked by nonblocking point-to-point messages.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes, rank r of which hosts the r-th block of nodes.
        seed: Seed of the random draws.
    """

    def __init__(self, topology: Schedule, communicator: MpiCommunicator, seed: int = 0) -> None:
        super().__init__(topology, seed, rank=communicator.rank, ranks=communicator.size)
        self.communicator = communicator
        self._tree = TreePlan.build(self._blocks)

    def _collect(self, value: Tensor | Message, plan: HaloPlan) -> Tensor:
        if isinstance(value, Message):
            return self._collect_message(value, plan)
        rows = value.new_empty(len(plan.columns), value.shape[1])
        requests = [self._receive(rows[place], source, HALO) for source, place in plan.receive.items()]
        requests += [self._send(_take(value, needed), target, HALO) for target, needed in plan.send.items()]
        rows[plan.local] = value
        self.communicator.wait(requests)
        return rows

    def _collect_message(self, message: Message, plan: HaloPlan) -> Tensor:
        boundary = {row for needed in plan.send.values() for row in needed.tolist()}
        packed = {row: message.pack(row) for row in boundary}
        requests = [
            self._send(np.concatenate([packed[row] for row in needed.tolist()]), target, MESSAGE)
            for target, needed in plan.send.items()
        ]
        local = message.dense()
        rows = local.new_empty(len(plan.columns), local.shape[1])
        rows[plan.local] = local
        for source, buffer in self._receive_bytes(list(plan.receive)).items():
            rows[plan.receive[source]] = message.unpack(buffer)
        self.communicator.wait(requests)
        return rows

    def _receive_bytes(self, sources: Sequence[int]) -> dict[int, Bytes]:
        """One message of unknown length from each of these ranks."""
        mpi = self.communicator.mpi
        buffers: dict[int, Bytes] = {}
        requests: list[MPI.Request] = []

        def poll() -> bool:
            for source in sources:
                if source in buffers:
                    continue
                status = MPI.Status()
                arrived = mpi.Improbe(source, MESSAGE, status)
                if arrived is not None:
                    buffers[source] = np.empty(status.Get_count(MPI.BYTE), np.uint8)
                    requests.append(arrived.Irecv(buffers[source]))
            return len(buffers) == len(sources)

        self.communicator.poll(poll)
        self.communicator.wait(requests)
        return buffers

    def _total(self, value: Tensor) -> Tensor:
        rank = self.communicator.rank
        first = self.nodes.start
        sums = {
            subtree.start: fold(value[subtree.start - first : subtree.stop - first])
            for subtree in self._tree.subtrees[rank]
        }
        for join in self._tree.joins:
            if join.left_rank == rank:
                if join.right_rank == rank:
                    right = sums[join.right]
                else:
                    right = torch.empty_like(value[0])
                    self.communicator.wait([self._receive(right, join.right_rank, TREE)])
                sums[join.left] = sums[join.left] + right
            elif join.right_rank == rank:
                self.communicator.wait([self._send(sums[join.right], join.left_rank, TREE)])

        total = sums[0] if rank == 0 else torch.empty_like(value[0])
        for source, target in self._tree.shares:
            if target == rank:
                self.communicator.wait([self._receive(total, source, TREE)])
            elif source == rank:
                self.communicator.wait([self._send(total, target, TREE)])
        return total

    def all_rows(self, value: Tensor) -> Tensor:
        rows = value.new_empty(self.n, value.shape[1])
        counts = [len(block) * value.shape[1] for block in self._blocks]
        request = self.communicator.mpi.Iallgatherv(value.contiguous().numpy(), [rows.numpy(), counts])
        self.communicator.wait([request])
        return rows

    def _send(self, buffer: Tensor | Bytes, target: int, tag: int) -> MPI.Request:
        self.traffic.wire_bytes += buffer.nbytes
        self.traffic.wire_messages += 1
        array = buffer.contiguous().numpy() if isinstance(buffer, Tensor) else buffer
        return self.communicator.mpi.Isend(array, target, tag)

    def _receive(self, buffer: Tensor, source: int, tag: int) -> MPI.Request:
        return self.communicator.mpi.Irecv(buffer.numpy(), source, tag)


def _take(value: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """Some rows of a stack, ascending; without a copy if they follow each other."""
    first, last = int(rows[0]), int(rows[-1])
    return value[first : last + 1] if last - first + 1 == len(rows) else value[torch.from_numpy(rows)]
