"""The mean, which a single forged row can move anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.numerics.tree_sum import tree_sum
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator


@dataclass(frozen=True)
class Mean(Aggregator):
    """The mean of the rows: what there is without an attacker, and what a single one can move anywhere."""

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        return mean_of(rows)

    def beside(self, own: Tensor, rows: Tensor, weights: Tensor, draw: Draw) -> Tensor:
        """own + sum_j w_ij (x_j - own): the mixing of a method without a defence."""
        return own + weighted_sum(weights, rows - own)


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """(d,): of rows (m, d), one after the other."""
    total = rows.new_zeros(rows.shape[1])
    for weight, row in zip(weights, rows, strict=True):
        total = total + weight * row
    return total


def mean_of(rows: Tensor) -> Tensor:
    """(d,): the mean of rows (m, d), summed along the tree of `network.mean`."""
    return tree_sum(dict(enumerate(rows)), len(rows)) / len(rows)
