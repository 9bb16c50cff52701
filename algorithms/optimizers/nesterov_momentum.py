"""Nesterov's momentum with the learning rate inside the velocity: the local rule of EAMSGD."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay


@dataclass(frozen=True)
class NesterovMomentum(LocalOptimizer[Momentum]):
    """Nesterov's momentum with the learning rate inside the velocity: the local rule of EAMSGD.

    Zhang, Choromanska, LeCun, "Deep Learning with Elastic Averaging SGD", NIPS 2015, arXiv 1412.6651; in this form
    Sutskever, Martens, Dahl, Hinton, "On the Importance of Initialization and Momentum in Deep Learning", ICML 2013.

        v <- momentum v - lr g(x + momentum v)
        x <- x + v

    The gradient is wanted at z = x + momentum v, which is what the algorithm holds, moves and mixes: z+ = z - lr g(z) +
    momentum v+. The model that is output is x = z - momentum v. With a constant learning rate the z are those of
    torch.optim.SGD(nesterov=True); the velocity here keeps the learning rates of its time.

    Args:
        momentum: In [0, 1).
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_momentum(self, self.momentum)
        check_weight_decay(self, self.weight_decay)

    @property
    def proportional(self) -> bool:
        return not self.weight_decay

    def start(self, x: Tensor) -> Momentum:
        return Momentum.start(x, self.momentum, nesterov=True)

    def update(self, x: Tensor, memory: Momentum, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, x)
        return (1.0, memory.descend(-lr * gradient)) if self.momentum else (-lr, gradient)

    def model(self, x: Tensor, memory: Momentum) -> Tensor:
        return x if memory.buffer is None else add_scaled(x, -self.momentum, memory.buffer)
