"""The network of one process that hosts all nodes; the base of those that cross processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.network import Neighborhood, Traffic
from algorithms.randomness import Draw
from gossip.network.plan import HaloPlan, blocks
from gossip.network.tree import fold, messages_per_node
from topologies import Schedule, Topology


class InProcessNetwork:
    """All n nodes in this process: mixing is one sparse product. Implements `algorithms.Network`.

    A process that hosts only some of the nodes overrides `_collect`, `_total` and `all_rows`, where rows come
    from and go to other processes.

    Args:
        topology: The mixing matrix of each round.
        seed: Seed of the random draws.
        rank: Which block of nodes this process hosts,
        ranks: of how many.
    """

    def __init__(self, topology: Schedule, seed: int = 0, *, rank: int = 0, ranks: int = 1) -> None:
        self.topology = topology
        self.seed = seed
        self.round = 0
        self._blocks = blocks(topology.n, ranks)
        self.nodes = self._blocks[rank]
        k = len(self.nodes)
        self.traffic = Traffic(torch.zeros(k, dtype=torch.int64), torch.zeros(k, dtype=torch.int64))
        self._communicated = False
        self._sent_in_a_mean = messages_per_node(topology.n)[self.nodes.start : self.nodes.stop]

        @lru_cache(maxsize=64)  # random schedules may have no end
        def plan(topology: Topology) -> HaloPlan:
            return HaloPlan.build(topology.matrix, self._blocks, rank)

        @lru_cache(maxsize=64)
        def weights(topology: Topology, dtype: str) -> csr_array:
            return plan(topology).weights.astype(dtype)

        self._plan_of, self._weights_of = plan, weights

    @property
    def n(self) -> int:
        """Number of nodes in the whole network."""
        return self.topology.n

    def mix(self, value: Tensor | Message) -> Tensor:
        """Row i of the result is sum_j w_ij value_j over the in-neighbours j and i itself, (k, d).

        Products and sums are rounded one by one, in node order, in the precision of the stack.
        """
        plan = self._plan()
        rows = self._exchange(value, plan)
        array = rows.numpy()
        return torch.from_numpy(self._weights_of(self.topology[self.round], array.dtype.str) @ array)

    def neighbors(self, value: Tensor | Message) -> list[Neighborhood]:
        """What each local node hears from its in-neighbours, itself left out."""
        plan = self._plan()
        rows = self._exchange(value, plan)
        heard = []
        for row, node in enumerate(self.nodes):
            start, stop = plan.weights.indptr[row : row + 2]
            places, weights = plan.weights.indices[start:stop], plan.weights.data[start:stop]
            others = plan.columns[places] != node
            heard.append(
                Neighborhood(
                    nodes=tuple(plan.columns[places[others]].tolist()),
                    weights=torch.tensor(weights[others], dtype=rows.dtype),
                    rows=rows[torch.from_numpy(places[others])],
                )
            )
        return heard

    def mean(self, value: Tensor) -> Tensor:
        """The average of a stack over all n nodes, (d,), summed along a fixed binary tree over the nodes."""
        self._count(value[0].nbytes, self._sent_in_a_mean)
        return self._total(value) / self.n

    def all_rows(self, value: Tensor) -> Tensor:
        """A stack's rows of all nodes, (n, d), in node order, on every rank. For results, not for the loop."""
        return value

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round."""
        return Draw(self.seed, purpose, self.nodes, self.round)

    def finish_step(self) -> None:
        """End the round if anything was sent since the last call; to be called after `start` and each step."""
        self.round += self._communicated
        self._communicated = False

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """What is sent meanwhile is not part of the method: it does not count as traffic nor as a round."""
        before = self.traffic, self._communicated
        self.traffic = deepcopy(self.traffic)
        yield
        self.traffic, self._communicated = before

    def close(self) -> None:
        """Free what this network holds."""

    def _plan(self) -> HaloPlan:
        return self._plan_of(self.topology[self.round])

    def _exchange(self, value: Tensor | Message, plan: HaloPlan) -> Tensor:
        """(k + h, d): the rows of `plan.columns`, decoded."""
        row_bytes = value.nbytes if isinstance(value, Message) else value[0].nbytes
        self._count(row_bytes, plan.out_degree)
        return self._collect(value, plan)

    def _count(self, row_bytes: Tensor | int, receivers: NDArray[np.int64]) -> None:
        messages = torch.from_numpy(receivers)
        self.traffic.bytes += row_bytes * messages
        self.traffic.messages += messages
        self._communicated = True

    def _collect(self, value: Tensor | Message, plan: HaloPlan) -> Tensor:
        """(k + h, d): the local rows and the halo, which is empty here."""
        return value.dense() if isinstance(value, Message) else value

    def _total(self, value: Tensor) -> Tensor:
        """The sum of a stack over all n nodes, (d,)."""
        return fold(value)
