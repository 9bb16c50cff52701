"""Adam, as in torch.optim.Adam.

Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv 1412.6980.

    g <- g + weight_decay x
    m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
    x <- x - lr m^ / (sqrt(v^) + eps)

with m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) in the t-th update. The weight decay becomes part of the moments;
`AdamW` keeps it apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import State
from algorithms.network import Network
from algorithms.optimizers.moments import check_moments, normalized, start_moments
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay


@dataclass(frozen=True)
class Adam(LocalOptimizer):
    """Adam.

    Args:
        betas: Decay rates of the two moments, each in [0, 1).
        eps: Added to the root of the second moment, > 0.
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_moments(self, self.betas, self.eps)
        check_weight_decay(self, self.weight_decay)

    def start(self, state: State) -> None:
        start_moments(state)

    def update(self, state: State, gradient: Tensor, lr: float, network: Network) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, state.x)
        return -lr, normalized(state, gradient, self.betas, self.eps)
