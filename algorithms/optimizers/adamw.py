"""AdamW: Adam with weight decay apart from the moments, as in torch.optim.AdamW.

Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101.

    m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
    x <- x - lr (m^ / (sqrt(v^) + eps) + weight_decay x)

As in torch, and unlike in the paper, the decay is multiplied by the whole learning rate, not by its schedule alone.
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
class AdamW(LocalOptimizer):
    """AdamW.

    Args:
        betas: Decay rates of the two moments, each in [0, 1).
        eps: Added to the root of the second moment, > 0.
        weight_decay: Multiple of the parameters that is added to the direction, >= 0.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        check_moments(self, self.betas, self.eps)
        check_weight_decay(self, self.weight_decay)

    def start(self, state: State) -> None:
        start_moments(state)

    def update(self, state: State, gradient: Tensor, lr: float, network: Network) -> tuple[float, Tensor]:
        direction = normalized(state, gradient, self.betas, self.eps)
        return -lr, with_weight_decay(direction, self.weight_decay, state.x)
