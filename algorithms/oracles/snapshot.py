"""What SVRG and its loopless form share: the snapshot, the full gradient there, and the estimate made of both.

    G(x) = mean_l w_l (grad f_l(x) - grad f_l(snapshot)) + full

over a batch of examples l with weights w_l (see `sampling.Batch`). The state holds, one row per node, `snapshot`
(k, d), `full` (k, d), the gradient over all examples there, and `since` (k,) int64, the step that the random draws of a
zeroth-order estimate belong to, the same ones in all three terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.oracles.oracle import ShardedWorkload, drawn
from algorithms.oracles.sampling import Batch, mean_gradient
from algorithms.state import State


def start_snapshots(state: State, x: Tensor) -> None:
    """Make room for the snapshots."""
    state.snapshot, state.full = x.clone(), torch.zeros_like(x)
    state.since = torch.zeros(len(x), dtype=torch.int64)


def take_snapshots(
    state: State, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], taken: Sequence[bool], since: int
) -> None:
    """Move the snapshots of those nodes where `taken` (k,) to their x (k, d), and evaluate all their gradients."""
    rows = [row for row, now in enumerate(taken) if now]
    if rows:
        some = [nodes[row] for row in rows]
        state.since[rows] = since
        state.snapshot[rows] = x[rows]
        state.full[rows] = drawn(workload, state.since[rows]).gradient(x[rows], some).gradient
        state.gradients[rows] += torch.tensor([workload.examples(node) for node in some])


def reduced(state: State, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], batch: Batch) -> Sample:
    """The estimates at x (k, d), and the losses of the batch there."""
    same = drawn(workload, state.since)
    here = mean_gradient(same, x, nodes, batch)
    there = mean_gradient(same, state.snapshot, nodes, batch)
    state.gradients += 2 * batch.examples.shape[1]
    return Sample(here.gradient - there.gradient + state.full, here.loss)
