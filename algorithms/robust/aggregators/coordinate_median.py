"""The median of each coordinate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator


@dataclass(frozen=True)
class CoordinateMedian(Aggregator):
    """The median of each coordinate; of an even number of rows the mean of the two in the middle.

    Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML
    2018, arXiv 1803.01498. It withstands fewer forged rows than honest ones.
    """

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        return median_of(rows)


def median_of(rows: Tensor) -> Tensor:
    """(d,): the median of each column of rows (m, d)."""
    ordered, m = rows.sort(dim=0).values, len(rows)
    return (ordered[(m - 1) // 2] + ordered[m // 2]) / 2
