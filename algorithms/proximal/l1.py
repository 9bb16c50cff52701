"""The l1 norm."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import check_weight, each_row, soft_threshold


@dataclass(frozen=True)
class L1(Proximal):
    """weight |x|_1; its prox moves each entry towards 0 by step * weight (soft threshold).

    Args:
        weight: >= 0.
    """

    weight: float = 1e-3

    def __post_init__(self) -> None:
        check_weight(self, "weight")

    def value(self, x: Tensor) -> Tensor:
        return self.weight * each_row(lambda row: row.abs().sum(), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return soft_threshold(z, step * self.weight)
