"""The Euclidean ball."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.checks import check, positive
from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import each_row, indicator, norms_of_rows, rounding


@dataclass(frozen=True)
class L2Ball(Proximal):
    """|x|_2 <= radius.

    Args:
        radius: > 0.
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.radius), self, "radius", "> 0")

    def value(self, x: Tensor) -> Tensor:
        return each_row(lambda row: indicator(self._norm(row) <= self.radius * (1 + rounding(row)), row), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        def project(row: Tensor) -> Tensor:
            norm = self._norm(row)
            return row.clone() if norm <= self.radius else (row.double() * (self.radius / norm)).to(row.dtype)

        return each_row(project, z)

    def _norm(self, row: Tensor) -> float:
        return float(norms_of_rows(row[None].double()))
