"""Adam, as in torch.optim.Adam."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.optimizers.moments import Moments, check_moments
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay


@dataclass(frozen=True)
class Adam(LocalOptimizer[Moments]):
    """Adam, as in torch.optim.Adam.

    Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv 1412.6980.

        g <- g + weight_decay x
        m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
        x <- x - lr m^ / (sqrt(v^) + epsilon)

    with m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) in the t-th update. The weight decay becomes part of the
    moments; `AdamW` keeps it apart.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        beta2: Decay rate of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment, > 0.
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_moments(self, self.beta1, self.beta2, self.epsilon)
        check_weight_decay(self, self.weight_decay)

    def start(self, x: Tensor) -> Moments:
        return Moments.start(x)

    def update(self, x: Tensor, memory: Moments, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, x)
        return -lr, memory.normalized(gradient, self.beta1, self.beta2, self.epsilon)
