"""Adam, as in torch.optim.Adam.

Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv 1412.6980.

    g <- g + weight_decay x
    m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
    x <- x - lr m^ / (sqrt(v^) + epsilon)

with m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) in the t-th update. The weight decay becomes part of the moments;
`AdamW` keeps it apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.network import Network
from algorithms.optimizers.moments import check_moments, normalized, start_moments
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay
from algorithms.state import State


@dataclass(frozen=True)
class Adam(LocalOptimizer):
    """Adam.

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

    def start(self, state: State) -> None:
        start_moments(state)

    def update(self, state: State, gradient: Tensor, lr: float, network: Network) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, state.x)
        return -lr, normalized(state, gradient, self.beta1, self.beta2, self.epsilon)
