"""The elastic net."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import check_weight, each_row, soft_threshold


@dataclass(frozen=True)
class ElasticNet(Proximal):
    """l1 |x|_1 + l2/2 |x|^2; its prox is a soft threshold, then a division by 1 + step * l2.

    Zou & Hastie, "Regularization and variable selection via the elastic net", JRSS B 67(2), 2005.

    Args:
        l1: Weight of |x|_1, >= 0.
        l2: Weight of half the squared norm, >= 0.
    """

    l1: float = 1e-3
    l2: float = 1e-3

    def __post_init__(self) -> None:
        check_weight(self, "l1")
        check_weight(self, "l2")

    def value(self, x: Tensor) -> Tensor:
        return each_row(lambda row: self.l1 * row.abs().sum() + self.l2 / 2 * (row * row).sum(), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return soft_threshold(z, step * self.l1) / (1 + step * self.l2)
