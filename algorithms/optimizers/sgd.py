"""Stochastic gradient descent with momentum and weight decay, as in torch.optim.SGD without dampening."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay


@dataclass(frozen=True)
class SGD(LocalOptimizer[Momentum]):
    """Stochastic gradient descent with momentum and weight decay, as in torch.optim.SGD without dampening.

        g <- g + weight_decay x
        v <- momentum v + g
        x <- x - lr v          or x - lr (g + momentum v) with Nesterov's variant

    The learning rate stays outside the buffer v: it may vary.

    Args:
        momentum: In [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_momentum(self, self.momentum, self.nesterov)
        check_weight_decay(self, self.weight_decay)

    @property
    def proportional(self) -> bool:
        return not self.weight_decay

    def start(self, x: Tensor) -> Momentum:
        return Momentum.start(x, self.momentum, self.nesterov)

    def update(self, x: Tensor, memory: Momentum, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, x)
        return -lr, memory.descend(gradient)
