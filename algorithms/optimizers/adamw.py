"""AdamW: Adam with weight decay apart from the moments, as in torch.optim.AdamW."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.optimizers.moments import Moments, check_moments
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay


@dataclass(frozen=True)
class AdamW(LocalOptimizer[Moments]):
    """AdamW: Adam with weight decay apart from the moments, as in torch.optim.AdamW.

    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101.

        m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
        x <- x - lr (m^ / (sqrt(v^) + epsilon) + weight_decay x)

    As in torch, and unlike in the paper, the decay is multiplied by the whole learning rate, not by its schedule alone.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        beta2: Decay rate of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment, > 0.
        weight_decay: Multiple of the parameters that is added to the direction, >= 0.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        check_moments(self, self.beta1, self.beta2, self.epsilon)
        check_weight_decay(self, self.weight_decay)

    def start(self, x: Tensor) -> Moments:
        return Moments.start(x)

    def update(self, x: Tensor, memory: Moments, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        direction = memory.normalized(gradient, self.beta1, self.beta2, self.epsilon)
        return -lr, with_weight_decay(direction, self.weight_decay, x)
