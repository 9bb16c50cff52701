"""Adam's estimates of the first two moments of a gradient, entry by entry, free of their bias towards 0.

    m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2

After t updates from 0, m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) are weighted averages.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.numerics.sums import add_scaled
from algorithms.state import State


def check_moments(owner: object, beta1: float, beta2: float, epsilon: float) -> None:
    """Refuse decay rates outside [0, 1), and an epsilon that is not positive."""
    check(0 <= beta1 < 1, owner, "beta1", "in [0, 1)")
    check(0 <= beta2 < 1, owner, "beta2", "in [0, 1)")
    check(positive(epsilon), owner, "epsilon", "> 0")


def start_moments(state: State) -> None:
    """Add the moments, or set them back to 0."""
    state.first_moment = torch.zeros_like(state.x)
    state.second_moment = torch.zeros_like(state.x)
    state.updates = 0


def normalized(state: State, gradient: Tensor, beta1: float, beta2: float, epsilon: float) -> Tensor:
    """Update the moments by a gradient and give m^ / (sqrt(v^) + epsilon), (k, d), in new memory."""
    add_scaled((1 - beta1) * gradient, beta1, state.first_moment, out=state.first_moment)
    square = gradient * gradient
    square *= 1 - beta2
    add_scaled(square, beta2, state.second_moment, out=state.second_moment)
    state.updates += 1
    divisor = torch.sqrt(state.second_moment, out=square)
    divisor /= math.sqrt(1 - beta2**state.updates)
    divisor += epsilon
    divisor *= 1 - beta1**state.updates
    return torch.div(state.first_moment, divisor, out=divisor)
