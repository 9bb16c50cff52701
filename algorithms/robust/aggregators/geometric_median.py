"""The point with the smallest sum of distances."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.checks import check, positive
from algorithms.numerics.sums import squared_norms
from algorithms.numerics.tree_sum import tree_sum
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator
from algorithms.robust.aggregators.mean import mean_of


@dataclass(frozen=True)
class GeometricMedian(Aggregator):
    """The point z with the smallest sum of distances |z - v_i|, by the smoothed Weiszfeld iteration (RFA).

    Pillutla, Kakade, Harchaoui, "Robust Aggregation for Federated Learning", IEEE TSP 70, 2022, arXiv 1912.13445. From
    the mean of the rows,

        z <- sum_i b_i v_i / sum_i b_i,    b_i = 1 / max(nu, |z - v_i|)

    It withstands fewer forged rows than honest ones.

    Args:
        iterations: >= 1; few are enough.
        smoothing: nu, > 0, the distance from which on rows count alike.
    """

    iterations: int = 8
    smoothing: float = 1e-6

    def __post_init__(self) -> None:
        check(self.iterations >= 1, self, "iterations", ">= 1")
        check(positive(self.smoothing), self, "smoothing", "> 0")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        z = mean_of(rows)
        for _ in range(self.iterations):
            weights = 1 / squared_norms(rows - z).sqrt().clamp(min=self.smoothing)
            shares = (weights / weights.sum()).to(rows)
            z = tree_sum(dict(enumerate(shares[:, None] * rows)), len(rows))
        return z
