"""The direction of AdamW: Adam with weight decay apart from the gradient.

Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv 1412.6980; Loshchilov & Hutter, "Decoupled
Weight Decay Regularization", ICLR 2019, arXiv 1711.05101. In iteration t = 0, 1, ..., with m = s = 0 at the start:

    m <- beta1 m + (1 - beta1) g,    s <- beta2 s + (1 - beta2) g^2
    u  = (m / (1 - beta1^(t+1))) / (sqrt(s / (1 - beta2^(t+1))) + epsilon) + weight_decay x

x - lr u is the step of torch.optim.AdamW, to rounding: weight decay is multiplied by the learning rate, as there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.algorithm import State
from algorithms.arithmetic import add_scaled
from algorithms.checks import check, positive


def check_adamw(owner: object, beta1: float, beta2: float, epsilon: float, weight_decay: float) -> None:
    """Refuse what is out of range in the fields of these names."""
    check(0 <= beta1 < 1, owner, "beta1", "in [0, 1)")
    check(0 <= beta2 < 1, owner, "beta2", "in [0, 1)")
    check(positive(epsilon), owner, "epsilon", "> 0")
    check(weight_decay == 0 or positive(weight_decay), owner, "weight_decay", ">= 0")


def start_moments(state: State) -> None:
    """Add the means of the gradients and of their squares."""
    state.first, state.second = torch.zeros_like(state.x), torch.zeros_like(state.x)


def adamw_direction(
    state: State, gradient: Tensor, beta1: float, beta2: float, epsilon: float, weight_decay: float
) -> Tensor:
    """Update the moments in `state` by the gradients at `state.x` in iteration `state.step`, and give u, (k, d)."""
    state.first = add_scaled(beta1 * state.first, 1 - beta1, gradient)
    state.second = add_scaled(beta2 * state.second, 1 - beta2, gradient * gradient)
    mean = state.first / (1 - beta1 ** (state.step + 1))
    size = (state.second / (1 - beta2 ** (state.step + 1))).sqrt_()
    return add_scaled(mean / size.add_(epsilon), weight_decay, state.x)
