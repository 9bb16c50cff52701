"""Gradient clipping by norm."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.norms import clipped_rows
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.sgd import SGD
from algorithms.state import Block


@dataclass(frozen=True)
class Clipped(LocalOptimizer[Block | None]):
    """Gradient clipping by norm: another rule with gradients no longer than `limit`, each node's clipped by itself.

    Pascanu, Mikolov, Bengio, "On the difficulty of training Recurrent Neural Networks", ICML 2013, arXiv 1211.5063.

        g <- g min(1, limit / |g|)

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

    def start(self, x: Tensor) -> Block | None:
        return self.optimizer.start(x)

    def observe(self, x: Tensor, memory: Block | None, sample: Sample, network: Network) -> None:
        if self.optimizer.communicates:
            clipped = Sample(self._clipped(sample.gradient), sample.loss, sample.norms, sample.losses)
            self.optimizer.observe(x, memory, clipped, network)

    def update(self, x: Tensor, memory: Block | None, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        return self.optimizer.update(x, memory, self._clipped(gradient), lr)

    def model(self, x: Tensor, memory: Block | None) -> Tensor:
        return self.optimizer.model(x, memory)

    def _clipped(self, gradient: Tensor) -> Tensor:
        return clipped_rows(gradient, self.limit)
