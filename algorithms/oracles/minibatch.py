"""Minibatch gradients, without replacement within an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.numerics.norms import part_norms
from algorithms.oracles.oracle import HasNorms, Oracle, OracleState, ShardedWorkload
from algorithms.randomness import generator, purpose_word

PURPOSE = "minibatch"  # of the draws
MANY = 512  # nodes from which compiled orders pay for the import of numba
MANY_AT_ONCE = 128  # where each is in a step of its own: of an asynchronous run, several times as many nodes
FEW = 256  # examples of which an order is made anew for each batch in less time than one that is kept is found


@dataclass(frozen=True)
class Minibatch(Oracle[OracleState]):
    """The mean gradient over `batch` examples of each node.

    A node goes through its examples in a new random order each epoch. A batch that reaches past the end of an
    epoch goes on in the next one, so every batch has the same size, also where a node has few examples.

        >>> import numpy as np
        >>> import torch
        >>> from algorithms import Minibatch
        >>> from gossip.workloads import LeastSquares
        >>> workload = LeastSquares(np.tile(np.eye(2), (2, 1, 1)), np.array([[1.0, 2.0], [3.0, 4.0]])).shard(2, seed=0)
        >>> x = torch.zeros(2, 2, dtype=torch.float64)
        >>> oracle = Minibatch(batch=1)
        >>> state = oracle.start(workload, x, nodes=[0, 1], seed=0)
        >>> steps = [oracle.sample(state, workload, x, [0, 1], step, seed=0) for step in range(2)]
        >>> sum(sample.gradient for sample in steps).tolist()  # an epoch: minus all targets
        [[-1.0, -2.0], [-3.0, -4.0]]
        >>> state.gradients.tolist()
        [2, 2]

    Args:
        batch: Examples per node and iteration, >= 1.
        microbatch: Compute the gradient in parts of so many of these examples, a divisor of batch, and tell the mean of
            the norms of the parts' gradients, which Clars takes; 1 for those of single examples. None for no norms.
    """

    batch: int = 32
    microbatch: int | None = None

    def __post_init__(self) -> None:
        check(self.batch >= 1, self, "batch", ">= 1")
        divides = self.microbatch is None or (self.microbatch >= 1 and self.batch % self.microbatch == 0)
        check(divides, self, "microbatch", f"a divisor of batch = {self.batch}, or None")

    @property
    def tells_norms(self) -> bool:
        return self.microbatch is not None

    def least_batch(self, size: int) -> int:
        return self.microbatch or self.batch

    def sample(
        self, state: OracleState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        state.gradients += self.batch
        return self._sample(workload, x, nodes, self._batches(workload, nodes, np.full(len(nodes), step), seed, MANY))

    def sample_each(
        self,
        state: OracleState,
        workload: ShardedWorkload,
        x: Tensor,
        nodes: Sequence[int],
        steps: Sequence[int],
        seed: int,
    ) -> Sample:
        state.gradients += self.batch
        return self._sample(workload, x, nodes, self._batches(workload, nodes, np.array(steps), seed, MANY_AT_ONCE))

    def _sample(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], batches: NDArray[np.int64]) -> Sample:
        """On these examples, (k, batch)."""
        examples = torch.from_numpy(batches)
        if self.microbatch is None:
            return workload.gradient(x, nodes, examples)
        if self.microbatch == 1 and isinstance(workload, HasNorms):
            sample = workload.gradient_and_norms(x, nodes, examples)
            if sample is not None:
                return sample
        return _in_parts(workload, x, nodes, examples.split(self.microbatch, dim=1))

    def _batches(
        self, workload: ShardedWorkload, nodes: Sequence[int], steps: NDArray[np.int64], seed: int, many: int
    ) -> NDArray[np.int64]:
        """(k, batch): the `examples` of all nodes, compiled if there are so many."""
        sizes = [workload.examples(node) for node in nodes]
        if len(nodes) >= many and max(sizes) <= FEW:
            from algorithms.numerics.orders import agree, batches

            if agree():
                known = np.asarray(nodes, np.int64), np.asarray(sizes, np.int64)
                return batches(seed, purpose_word(PURPOSE), *known, steps * self.batch, self.batch)
        rows = zip(sizes, nodes, steps.tolist(), strict=True)
        return np.stack([self.examples(size, node, step, seed) for size, node, step in rows])

    def examples(self, size: int, node: int, step: int, seed: int) -> NDArray[np.int64]:
        """(batch,): which of its `size` examples this node uses in this iteration."""
        epoch, place = divmod(step * self.batch, size)
        if place + self.batch <= size:
            return _order(size, node, epoch, seed)[place : place + self.batch]
        epochs, places = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), size)
        chosen = np.empty(self.batch, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = _order(size, node, int(epoch), seed)[places[here]]
        return chosen


def _in_parts(workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], parts: Sequence[Tensor]) -> Sample:
    """The mean over parts of a batch, each (k, size), with that of the norms of their gradients."""
    places = workload.layout.places
    gradient, loss = torch.zeros_like(x), torch.zeros_like(x[:, 0])
    total = torch.zeros(len(x), len(places), dtype=torch.float64)
    for part in parts:
        sample = workload.gradient(x, nodes, part.contiguous())
        gradient += sample.gradient
        loss += sample.loss
        total += part_norms(sample.gradient, places)
    return Sample(gradient / len(parts), loss / len(parts), total / len(parts))


@lru_cache(maxsize=2**16)
def _order(size: int, node: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return generator(seed, PURPOSE, node, epoch).permutation(size)
