"""What nodes lose at points of an algorithm's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from algorithms.oracles.batches import uniform_batch
from algorithms.oracles.oracle import HasBuffers, HasLosses, OracleState, ShardedWorkload

PURPOSE = "validation"  # of the draws


@dataclass(frozen=True)
class AskedLosses:
    """Losses of the local nodes with data at points of an algorithm's choice, in one iteration: `Sample.losses`.

    Attributes:
        workload: One that `HasLosses`. What it has of nodes beside parameters stays as it is.
        nodes: The numbers in it of the local nodes with data, in row order.
        state: The oracle's, which counts the function values.
        step: The iteration.
        seed: What the draws follow from, with the node and the iteration.
    """

    workload: ShardedWorkload
    nodes: Sequence[int]
    state: OracleState
    step: int
    seed: int

    def __call__(self, x: Tensor, row: int, batch: int) -> Tensor:
        """(r,): the mean losses at points x (r, d) over `batch` examples of the node in this row."""
        node, workload = self.nodes[row], self.workload
        chosen = uniform_batch(workload.examples(node), batch, node, self.step, self.seed, PURPOSE)
        if self.state.buffers:
            buffers = {name: stack.clone() for name, stack in self.state.buffers.items()}
            workload = cast(HasBuffers, workload).on(buffers, self.nodes)
        examples = torch.from_numpy(chosen).repeat(len(x), 1)
        values = cast(HasLosses, workload).losses(x, [node] * len(x), examples)
        self.state.queries[row] += examples.numel()
        return torch.stack([each.mean() for each in values])


def asked_losses(
    workload: ShardedWorkload, nodes: Sequence[int], state: OracleState, step: int, seed: int
) -> AskedLosses | None:
    """The losses of an iteration; None of a workload that gives none."""
    given: Any = workload
    return AskedLosses(workload, nodes, state, step, seed) if isinstance(given, HasLosses) else None
