"""Entries that are not negative."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import each_row, indicator


@dataclass(frozen=True)
class NonNegative(Proximal):
    """x_j >= 0 for all entries."""

    def value(self, x: Tensor) -> Tensor:
        return each_row(lambda row: indicator(bool((row >= 0).all()), row), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return z.clamp(min=0)
