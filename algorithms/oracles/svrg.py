"""SVRG: stochastic variance-reduced gradients, with a snapshot every so many iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.oracles.batches import Sampling, check_sampling, draw_batch, example_probabilities
from algorithms.oracles.oracle import Oracle, ShardedWorkload, check_gradients
from algorithms.oracles.snapshot import SnapshotState


@dataclass(frozen=True)
class Svrg(Oracle[SnapshotState]):
    """SVRG: stochastic variance-reduced gradients, with a snapshot every so many iterations.

    Johnson & Zhang, "Accelerating stochastic gradient descent using predictive variance reduction", NeurIPS 2013; with
    a proximal step and importance sampling Xiao & Zhang, SIAM J. Optim. 24(4), 2014, arXiv 1403.4699. Every `period`
    iterations the snapshot moves to the current x, where all gradients are evaluated; in between

        G(x) = mean_l w_l (grad f_l(x) - grad f_l(snapshot)) + mean_j grad f_j(snapshot)

    over a batch of examples l. The next snapshot is the last iterate (option I of the paper). Without bias; the
    variance is 0 at the snapshot, and vanishes as x and the snapshot approach the optimum. It costs two component
    gradients per example of a batch and one for each of the node's m examples per period. Usual learning rates are up
    to 1 / (4 L), in decentralized methods 1 / (6 L).

        >>> import numpy as np
        >>> import torch
        >>> from algorithms import Svrg
        >>> from gossip.workloads import LeastSquares
        >>> workload = LeastSquares(np.tile(np.eye(2), (2, 1, 1)), np.array([[1.0, 2.0], [3.0, 4.0]])).shard(2, seed=0)
        >>> x = torch.zeros(2, 2, dtype=torch.float64)
        >>> oracle = Svrg(batch=1)
        >>> state = oracle.start(workload, x, nodes=[0, 1], seed=0)
        >>> oracle.sample(state, workload, x, [0, 1], step=0, seed=0).gradient.tolist()  # the exact one at first
        [[-0.5, -1.0], [-1.5, -2.0]]
        >>> state.gradients.tolist()
        [4, 4]

    Args:
        batch: Examples per node and iteration, 1 <= batch <= m of every node.
        period: Iterations from one snapshot to the next, >= 1; by default, at each node, one pass over its
            examples: m / batch, rounded up.
        sampling: "uniform", a random subset of the examples; or "importance", independent draws with probabilities
            proportional to the smoothness constant of each example, for workloads that tell these.
    """

    batch: int = 32
    period: int | None = None
    sampling: Sampling = "uniform"

    def __post_init__(self) -> None:
        check_sampling(self)
        check(self.period is None or self.period >= 1, self, "period", ">= 1")

    def least_batch(self, size: int) -> int:
        return 1 if self.sampling == "importance" else self.batch

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> SnapshotState:
        check_gradients(self, workload)
        state = SnapshotState.at(x, example_probabilities(self, workload, nodes))
        return state

    def sample(
        self, state: SnapshotState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        periods = [self.period or -(-workload.examples(node) // self.batch) for node in nodes]
        state.take(workload, x, nodes, [step % period == 0 for period in periods], step)
        batch = draw_batch(self.batch, state.probabilities, workload, nodes, step=step, seed=seed)
        return state.estimate(workload, x, nodes, batch)
