"""The full local gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.oracles.oracle import Oracle, OracleState, ShardedWorkload


@dataclass(frozen=True)
class Full(Oracle[OracleState]):
    """The exact gradient of each node's f_i, over all its examples."""

    def sample(
        self, state: OracleState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        state.gradients += torch.tensor([workload.examples(node) for node in nodes])
        return workload.gradient(x, nodes)

    def sample_each(
        self,
        state: OracleState,
        workload: ShardedWorkload,
        x: Tensor,
        nodes: Sequence[int],
        steps: Sequence[int],
        seed: int,
    ) -> Sample:
        return self.sample(state, workload, x, nodes, 0, seed)  # which has no use for the iteration
