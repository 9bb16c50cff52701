"""Gradient clipping by norm.

Pascanu, Mikolov, Bengio, "On the difficulty of training Recurrent Neural Networks", ICML 2013, arXiv 1211.5063.

    g <- g min(1, limit / |g|)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.norms import row_norms
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.sgd import SGD
from algorithms.state import State


@dataclass(frozen=True)
class Clipped(LocalOptimizer):
    """Another rule with gradients no longer than `limit`, each node's clipped by itself.

    Args:
        limit: Largest l2 norm of a gradient, > 0.
        optimizer: The rule that takes the clipped gradients.
    """

    limit: float = 1.0
    optimizer: LocalOptimizer = field(default_factory=SGD)

    def __post_init__(self) -> None:
        check(self.limit > 0, self, "limit", "> 0")

    @property
    def communicates(self) -> bool:
        return self.optimizer.communicates

    @property
    def takes_norms(self) -> bool:
        return self.optimizer.takes_norms

    def start(self, state: State) -> None:
        self.optimizer.start(state)

    def observe(self, state: State, sample: Sample) -> None:
        self.optimizer.observe(state, sample)

    def update(self, state: State, gradient: Tensor, lr: float, network: Network) -> tuple[float, Tensor]:
        norms = row_norms(gradient)[:, None]
        clipped = gradient * (self.limit / norms).clamp(max=1).to(gradient.dtype)
        return self.optimizer.update(state, clipped, lr, network)

    def model(self, state: State, x: Tensor) -> Tensor:
        return self.optimizer.model(state, x)
