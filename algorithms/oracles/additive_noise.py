"""Gradients with Gaussian noise of known variance, as the theory of stochastic methods assumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.oracles.full import Full
from algorithms.oracles.oracle import Oracle, OracleState, ShardedWorkload
from algorithms.randomness import generator


@dataclass(frozen=True)
class AdditiveNoise(Oracle[OracleState]):
    """The estimates of another oracle plus noise: to each component an independent N(0, deviation^2).

    Args:
        oracle: What the noise is added to.
        deviation: Standard deviation of the noise of each component, >= 0.
    """

    oracle: Oracle = field(default_factory=Full)
    deviation: float = 1.0

    def __post_init__(self) -> None:
        check(0 <= self.deviation < np.inf, self, "deviation", ">= 0")

    def least_batch(self, size: int) -> int:
        return self.oracle.least_batch(size)

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> OracleState:
        return self.oracle.start(workload, x, nodes, seed)

    def sample(
        self, state: OracleState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        sample = self.oracle.sample(state, workload, x, nodes, step, seed)
        noise = [generator(seed, "additive noise", node, step).standard_normal(x.shape[1]) for node in nodes]
        gradient = add_scaled(sample.gradient, self.deviation, torch.from_numpy(np.stack(noise)).to(x.dtype))
        return Sample(gradient, sample.loss)
