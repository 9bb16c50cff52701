"""What is done with rows before another rule, so that honest ones that differ are not taken for forged ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator, refuse
from algorithms.robust.aggregators.coordinate_median import CoordinateMedian
from algorithms.robust.aggregators.krum import squared_distances
from algorithms.robust.aggregators.mean import mean_of


@dataclass(frozen=True)
class Bucketing(Aggregator):
    """Another rule, given the means of random groups of rows, which differ less than the rows do.

    Karimireddy, He, Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022, arXiv
    2006.09365. The rows, in a random order that is drawn anew each time, are put into ceil(m / s) buckets of s, of
    which the last may have fewer. A forged row spoils its bucket: s times as large a share of what the rule is given is
    forged, and the variance among the others is s times smaller.

    Args:
        aggregator: The rule.
        size: s, >= 2.
    """

    aggregator: Aggregator = field(default_factory=CoordinateMedian)
    size: int = 2

    def __post_init__(self) -> None:
        _check_forgets(self, self.aggregator)
        check(self.size >= 2, self, "size", ">= 2")

    def check_rows(self, rows: int) -> None:
        self.aggregator.check_rows(-(-rows // self.size))

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        order = torch.from_numpy(draw.generator(0).permutation(len(rows)))
        means = torch.stack([mean_of(rows[bucket.sort().values]) for bucket in order.split(self.size)])
        return self.aggregator.aggregate(means, center, draw)


@dataclass(frozen=True)
class NearestNeighborMixing(Aggregator):
    """Another rule, given for each row the mean of the m - f rows nearest to it, itself included.

    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan, "Fixing by Mixing: A Recipe for Optimal Byzantine ML under
    Heterogeneity", AISTATS 2023, arXiv 2302.01772. Of equally near rows those of smaller numbers. It needs m > 2 f.

    Args:
        aggregator: The rule.
        forged: f, how many rows may be forged, >= 1.
    """

    aggregator: Aggregator = field(default_factory=CoordinateMedian)
    forged: int = 1

    def __post_init__(self) -> None:
        _check_forgets(self, self.aggregator)
        check(self.forged >= 1, self, "forged", ">= 1")

    def check_rows(self, rows: int) -> None:
        refuse(self, rows, 2 * self.forged + 1, f"forged = {self.forged}")
        self.aggregator.check_rows(rows)

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        near = torch.argsort(squared_distances(rows), dim=1, stable=True)[:, : len(rows) - self.forged]
        mixed = torch.stack([mean_of(rows[each.sort().values]) for each in near])
        return self.aggregator.aggregate(mixed, center, draw)


def _check_forgets(rule: Aggregator, inner: Aggregator) -> None:
    """Refuse a rule that knows nodes by their past, which means of several rows have not."""
    check(not inner.remembers, rule, "aggregator", "a rule that remembers nothing of single nodes")
