"""Weight decay: what pulls the parameters towards 0."""

from __future__ import annotations

import math

from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.sums import add_scaled


def check_weight_decay(owner: object, weight_decay: float) -> None:
    """Refuse a weight decay that is negative or not finite."""
    check(0 <= weight_decay < math.inf, owner, "weight_decay", ">= 0")


def with_weight_decay(direction: Tensor, weight_decay: float, x: Tensor) -> Tensor:
    """direction + weight_decay x, (k, d)."""
    return add_scaled(direction, weight_decay, x) if weight_decay else direction
