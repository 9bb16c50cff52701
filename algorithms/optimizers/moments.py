"""Adam's estimates of the first two moments of a gradient, entry by entry, free of their bias towards 0.

    m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2

After t updates from 0, m / (1 - b1^t) and v / (1 - b2^t) are weighted averages.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algorithms.algorithm import State
from algorithms.arithmetic import add_scaled
from algorithms.checks import check


def check_moments(owner: object, betas: tuple[float, float], eps: float) -> None:
    """Refuse decay rates outside [0, 1), and an eps that is not positive."""
    check(len(betas) == 2 and all(0 <= beta < 1 for beta in betas), owner, "betas", "two numbers in [0, 1)")
    check(0 < eps < math.inf, owner, "eps", "> 0")


def start_moments(state: State) -> None:
    """Add the moments, or set them back to 0."""
    state.first_moment = torch.zeros_like(state.x)
    state.second_moment = torch.zeros_like(state.x)
    state.updates = 0


def normalized(state: State, gradient: Tensor, betas: tuple[float, float], eps: float) -> Tensor:
    """Update the moments and give m^ / (sqrt(v^) + eps) of what these estimate without bias, (k, d), in new memory."""
    first, second = betas
    add_scaled((1 - first) * gradient, first, state.first_moment, out=state.first_moment)
    square = gradient * gradient
    square *= 1 - second
    add_scaled(square, second, state.second_moment, out=state.second_moment)
    state.updates += 1
    divisor = torch.sqrt(state.second_moment, out=square)
    divisor /= math.sqrt(1 - second**state.updates)
    divisor += eps
    divisor *= 1 - first**state.updates
    return torch.div(state.first_moment, divisor, out=divisor)
