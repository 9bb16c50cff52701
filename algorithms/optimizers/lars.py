"""LARS: the learning rate of each tensor in proportion to the norm of its parameters over that of their gradient."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check, positive
from algorithms.optimizers.layerwise import ORDERS, Layerwise, Order, ratios
from algorithms.optimizers.weight_decay import check_weight_decay, decay_of, with_weight_decay


@dataclass(frozen=True)
class Lars(Layerwise[Momentum]):
    """LARS: the learning rate of each tensor in proportion to the norm of its parameters over that of their gradient.

    You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017, arXiv 1708.03888.

    For each tensor w with gradient g:

        scale = trust |w| / (|g| + weight_decay |w|)                              1 where a norm is 0
        v <- momentum v + lr scale (g + weight_decay w);   w <- w - v       "scale-then-accumulate", as in the paper
        v <- momentum v + g + weight_decay w;   w <- w - lr scale v         "accumulate-then-scale"

    In the first order the buffer keeps the learning rates and scales of its time. The second one is that of the code
    released with CLARS (arXiv 2002.01576), which has |g + weight_decay w| + 1e-6 below the fraction.

    Without weight decay, multiplying the loss by a number changes nothing. The steps are those of a node by its own
    gradient; for a mean gradient of all nodes, nodes that share their parameters must average gradients before.

    Args:
        trust: Length of a step with lr = 1 and without momentum, as a share of the norm of the parameters, > 0.
        momentum: In [0, 1).
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0.
        order: Whether the momentum buffer holds what has been scaled, or is scaled where it is used.
    """

    trust: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    order: Order = "scale-then-accumulate"

    def __post_init__(self) -> None:
        check(positive(self.trust), self, "trust", "> 0")
        check_momentum(self, self.momentum)
        check_weight_decay(self, self.weight_decay)
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")

    def start(self, x: Tensor) -> Momentum:
        return Momentum.start(x, self.momentum)

    def update(self, x: Tensor, memory: Momentum, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        weights = self.norms(x)
        decay = decay_of(self.weight_decay, self.places(x.shape[1]))
        scales = ratios(self.trust * weights, self.norms(gradient) + decay * weights)
        decayed = with_weight_decay(gradient, self.weight_decay, x)
        return self.momentum_update(memory, decayed, lr, scales, self.order)
