"""The probability simplex."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import each_row, indicator, rounding


@dataclass(frozen=True)
class Simplex(Proximal):
    """x_j >= 0 with sum total: max(z - theta, 0) for the theta that gives this sum, found by sorting.

    Held, Wolfe & Crowder, "Validation of subgradient optimization", Mathematical Programming 6, 1974.

    Args:
        total: > 0.
    """

    total: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.total), self, "total", "> 0")

    def value(self, x: Tensor) -> Tensor:
        def value(row: Tensor) -> Tensor:
            excess = abs(float(row.double().sum()) - self.total)
            return indicator(bool((row >= 0).all()) and excess <= self.total * rounding(row), row)

        return each_row(value, x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        def project(row: Tensor) -> Tensor:
            below = row.double() - row.double().max()  # what stays positive is close to 0, so that nothing cancels
            sorted_down = below.sort(descending=True).values
            counts = torch.arange(1, len(row) + 1, device=row.device)
            thetas = (sorted_down.cumsum(0) - self.total) / counts
            support = int((sorted_down > thetas).sum())  # at least 1, for 0 > -total
            return (below - thetas[support - 1]).clamp(min=0).to(row.dtype)

        return each_row(project, z)
