"""Stochastic gradient descent with momentum and weight decay, as in torch.optim.SGD without dampening.

    g <- g + weight_decay x
    v <- momentum v + g
    x <- x - lr v          or x - lr (g + momentum v) with Nesterov's variant

The learning rate stays outside the buffer v: it may vary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import check_momentum, descent_direction, start_momentum
from algorithms.network import Network
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay
from algorithms.state import State


@dataclass(frozen=True)
class SGD(LocalOptimizer):
    """Stochastic gradient descent.

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

    def start(self, state: State) -> None:
        start_momentum(state, self.momentum)

    def update(self, state: State, gradient: Tensor, lr: float, network: Network) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, state.x)
        return -lr, descent_direction(state, gradient, self.momentum, self.nesterov)
