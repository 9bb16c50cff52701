"""Loopless SVRG: variance-reduced gradients, with a snapshot whenever a coin says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.oracles.batches import Sampling, check_sampling, draw_batch, example_probabilities
from algorithms.oracles.oracle import Oracle, ShardedWorkload, check_gradients
from algorithms.oracles.snapshot import SnapshotState
from algorithms.randomness import generator


@dataclass(frozen=True)
class LooplessSvrg(Oracle[SnapshotState]):
    """Loopless SVRG: variance-reduced gradients, with a snapshot whenever a coin says so.

    Kovalev, Horvath, Richtarik, "Don't Jump Through Hoops and Remove Those Loops: SVRG and Katyusha are Better Without
    the Outer Loop", ALT 2020, arXiv 1901.08689; the idea is from Hofmann, Lucchi, Lacoste-Julien, McWilliams, NeurIPS
    2015.

        G(x) = mean_l w_l (grad f_l(x) - grad f_l(snapshot)) + mean_j grad f_j(snapshot)
        with probability p, afterwards:  snapshot <- x

    Every node throws a coin of its own. All gradients are evaluated at the start and at every new snapshot. The usual
    learning rate is 1 / (6 L).

    Args:
        batch: Examples per node and iteration, 1 <= batch <= m of every node.
        probability: Of a new snapshot in an iteration, 0 < probability <= 1; by default batch / m at each node.
        sampling: "uniform", a random subset of the examples; or "importance", independent draws with probabilities
            proportional to the smoothness constant of each example, for workloads that tell these.
    """

    batch: int = 32
    probability: float | None = None
    sampling: Sampling = "uniform"

    def __post_init__(self) -> None:
        check_sampling(self)
        check(self.probability is None or 0 < self.probability <= 1, self, "probability", "in (0, 1]")

    def least_batch(self, size: int) -> int:
        return 1 if self.sampling == "importance" else self.batch

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> SnapshotState:
        check_gradients(self, workload)
        state = SnapshotState.at(x, example_probabilities(self, workload, nodes))
        state.take(workload, x, nodes, [True] * len(nodes), since=0)
        return state

    def sample(
        self, state: SnapshotState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        batch = draw_batch(self.batch, state.probabilities, workload, nodes, step=step, seed=seed)
        sample = state.estimate(workload, x, nodes, batch)
        heads = [self.head(workload.examples(node), node, step, seed) for node in nodes]
        state.take(workload, x, nodes, heads, since=step + 1)
        return sample

    def head(self, size: int, node: int, step: int, seed: int) -> bool:
        """Whether this node, with `size` examples, takes a snapshot after this iteration."""
        probability = self.batch / size if self.probability is None else self.probability
        return generator(seed, "snapshot", node, step).random() < probability
