"""The mean of each coordinate without its extremes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator, refuse
from algorithms.robust.aggregators.mean import mean_of


@dataclass(frozen=True)
class TrimmedMean(Aggregator):
    """The mean of each coordinate without its b largest and b smallest values.

    Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML
    2018, arXiv 1803.01498. It withstands up to b forged rows, and needs more than 2 b in all.

    Args:
        trim: b, >= 0; 0 is the mean.
    """

    counts_own: ClassVar[bool] = False

    trim: int = 1

    def __post_init__(self) -> None:
        check(self.trim >= 0, self, "trim", ">= 0")

    def check_rows(self, rows: int) -> None:
        refuse(self, rows, 2 * self.trim + 1, f"trim = {self.trim}")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        return mean_of(trimmed(rows, self.trim))

    def beside(self, own: Tensor, rows: Tensor, weights: Tensor, draw: Draw) -> Tensor:
        """The mean of what is left of the neighbours' values, and the own one, which is never left out."""
        return mean_of(torch.cat([own[None], trimmed(rows, self.trim)]))


def trimmed(rows: Tensor, trim: int) -> Tensor:
    """(m - 2 trim, d): each column of rows (m, d) in order, without its extremes; the rows themselves without any."""
    return rows.sort(dim=0).values[trim : len(rows) - trim] if trim else rows
