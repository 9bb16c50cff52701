"""Bounds of all entries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from algorithms.checks import check
from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import each_row, indicator


@dataclass(frozen=True)
class Box(Proximal):
    """low <= x_j <= high for all entries.

    Args:
        low: The least value, possibly -inf.
        high: The greatest value, >= low, possibly inf.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check(self.low < math.inf, self, "low", "a number below infinity")
        check(self.low <= self.high and self.high > -math.inf, self, "high", f"a number >= low = {self.low}")

    def value(self, x: Tensor) -> Tensor:
        return each_row(lambda row: indicator(row.clamp(self.low, self.high).equal(row), row), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return z.clamp(self.low, self.high)
