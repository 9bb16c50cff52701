"""LAMB: AdamW's step, in each tensor as long as its parameters are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.optimizers.layerwise import Layerwise, ratios
from algorithms.optimizers.moments import Moments, check_moments
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay


@dataclass(frozen=True)
class Lamb(Layerwise[Moments]):
    """LAMB: AdamW's step, in each tensor as long as its parameters are.

    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020, arXiv 1904.00962.

        m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
        r = m^ / (sqrt(v^) + epsilon) + weight_decay w
        w <- w - lr (|w| / |r|) r             for each tensor w; the ratio is 1 where a norm is 0

    with the moments m^ and v^ free of their bias, as in Adam; the paper's phi is the identity.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        beta2: Decay rate of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment, > 0.
        weight_decay: Multiple of the parameters that is added to the direction, >= 0.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        check_moments(self, self.beta1, self.beta2, self.epsilon)
        check_weight_decay(self, self.weight_decay)

    def start(self, x: Tensor) -> Moments:
        return Moments.start(x)

    def update(self, x: Tensor, memory: Moments, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        direction = memory.normalized(gradient, self.beta1, self.beta2, self.epsilon)
        direction = with_weight_decay(direction, self.weight_decay, x)
        return -lr, self.multiplied(direction, ratios(self.norms(x), self.norms(direction)))
