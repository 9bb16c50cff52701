"""Sums over all nodes along the tree between MPI processes, which go on while the process computes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.numerics.tree_sum import fold
from gossip.network.plans.tree import TreePlan
from gossip.network.sums.pages import as_bytes
from gossip.processes.mpi import MpiCommunicator


class TreeTotal:
    """A `Total` between processes: the sum of a stack over all nodes, (d,), on every rank.

    Nothing in it blocks: `advance` does what can be done by now, and any thread may call it.

    Args:
        value: (k, d), the local rows.
        plan: How the ranks sum up.
        nodes: The local nodes, ascending.
        communicator: The processes.
        tag: Keeps the messages apart from those of other sums under way.
        retire: Called with this total when it has been waited for.
    """

    def __init__(
        self,
        value: Tensor,
        plan: TreePlan,
        nodes: Sequence[int],
        communicator: MpiCommunicator,
        *,
        tag: int,
        retire: Callable[[TreeTotal], None],
    ) -> None:
        self._value = value.detach()
        self._plan, self._nodes, self._tag = plan, nodes, tag
        self._communicator = communicator
        self._retire = retire
        self._sends: list[tuple[MPI.Request, int]] = []
        self._total: Tensor | None = None
        self._lock = threading.Lock()
        self._receives = self._walk()
        self._awaited = next(self._receives, None)

    def advance(self) -> bool:
        """Go on as far as messages have come; whether the total is there."""
        with self._lock:
            while self._awaited is not None and self._awaited[0].Test():
                self._awaited = next(self._receives, None)
            return self._awaited is None

    def wait(self) -> Tensor:
        """(d,), once it is there."""
        self._communicator.poll(self.advance, lambda: [] if self._awaited is None else [self._awaited[1]])
        self._communicator.wait([request for request, _ in self._sends], [target for _, target in self._sends])
        assert self._total is not None
        self._retire(self)
        return self._total

    def _walk(self) -> Iterator[tuple[MPI.Request, int]]:
        """Up the tree and down again; yields what must have been received, and from whom, before it goes on."""
        rank, like = self._communicator.rank, self._value[0]
        sums = {}
        for part in self._plan.subtrees[rank]:
            row = bisect_left(self._nodes, part.start)
            sums[part.start] = fold(self._value[row : row + len(part)])
        for join in self._plan.joins:
            if join.left_rank == rank:
                if join.right_rank == rank:
                    right = sums[join.right]
                else:
                    vector, request = self._receive(like, join.right_rank)
                    yield request, join.right_rank
                    right = vector.to(like.device)
                sums[join.left] = sums[join.left] + right
            elif join.right_rank == rank:
                self._send(sums[join.right], join.left_rank)

        total = sums[0] if rank == self._plan.root else None
        for source, target in self._plan.shares:
            if target == rank:
                vector, request = self._receive(like, source)
                yield request, source
                total = vector.to(like.device)
            elif source == rank:
                assert total is not None  # the tree is walked from its root
                self._send(total, target)
        self._total = total

    def _send(self, vector: Tensor, target: int) -> None:
        sent = as_bytes(vector.cpu().contiguous())
        self._sends.append((self._communicator.mpi.Isend(sent, target, self._tag), target))

    def _receive(self, like: Tensor, source: int) -> tuple[Tensor, MPI.Request]:
        vector = torch.empty(like.shape, dtype=like.dtype)
        return vector, self._communicator.mpi.Irecv(as_bytes(vector), source, self._tag)
