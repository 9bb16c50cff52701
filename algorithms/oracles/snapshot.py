"""What SVRG and its loopless form share: the snapshot, the full gradient there, and the estimate made of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.oracles.batches import Batch, mean_gradient
from algorithms.oracles.oracle import OracleState, ShardedWorkload, drawn


@dataclass
class SnapshotState(OracleState):
    """The snapshots of the local nodes, of which the estimate is made

        G(x) = mean_l w_l (grad f_l(x) - grad f_l(snapshot)) + full

    over a batch of examples l with weights w_l (see `algorithms.oracles.batches.Batch`).

    Attributes:
        snapshot: (k, d).
        full: (k, d), the gradients over all examples there.
        since: (k,) int64, the step that the random draws of a zeroth-order estimate belong to, the same ones in all
            three terms.
        probabilities: (m,) float64 for each node, those of its examples; None where all are alike.
    """

    snapshot: Tensor
    full: Tensor
    since: Tensor
    probabilities: list[Tensor] | None

    @classmethod
    def at(cls, x: Tensor, probabilities: list[Tensor] | None) -> SnapshotState:
        """Snapshots at x (k, d) whose gradients have not been evaluated."""
        since = torch.zeros(len(x), dtype=torch.int64)
        return cls.start(len(x), snapshot=x.clone(), full=torch.zeros_like(x), since=since, probabilities=probabilities)

    def take(
        self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], taken: Sequence[bool], since: int
    ) -> None:
        """Move the snapshots of those nodes where `taken` (k,) to their x (k, d), and evaluate all their gradients."""
        rows = [row for row, now in enumerate(taken) if now]
        if rows:
            some = [nodes[row] for row in rows]
            self.since[rows] = since
            self.snapshot[rows] = x[rows]
            self.full[rows] = drawn(workload, self.since[rows]).gradient(x[rows], some).gradient
            self.gradients[rows] += torch.tensor([workload.examples(node) for node in some])

    def estimate(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], batch: Batch) -> Sample:
        """The estimates at x (k, d), and the losses of the batch there."""
        same = drawn(workload, self.since)
        here = mean_gradient(same, x, nodes, batch)
        there = mean_gradient(same, self.snapshot, nodes, batch)
        self.gradients += 2 * batch.examples.shape[1]
        return Sample(here.gradient - there.gradient + self.full, here.loss)
