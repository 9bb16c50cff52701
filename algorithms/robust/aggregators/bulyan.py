"""Bulyan: Krum again and again, then the values around the median."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator, refuse
from algorithms.robust.aggregators.coordinate_median import median_of
from algorithms.robust.aggregators.krum import scores, squared_distances
from algorithms.robust.aggregators.mean import mean_of


@dataclass(frozen=True)
class Bulyan(Aggregator):
    """Rows that Krum chooses one after the other, and of these the values of each coordinate closest to its median.

    El Mhamdi, Guerraoui, Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML 2018, arXiv
    1802.07927. With m rows, of which f may be forged: theta = m - 2 f times, the row with Krum's smallest score among
    those that are left is taken out and kept. Of the theta values of a coordinate, the mean of the beta = theta - 2 f
    that are closest to their median; of equally close ones those of smaller numbers. It needs m >= 4 f + 3.

    Args:
        forged: f, >= 0.
    """

    forged: int = 1

    def __post_init__(self) -> None:
        check(self.forged >= 0, self, "forged", ">= 0")

    def check_rows(self, rows: int) -> None:
        refuse(self, rows, 4 * self.forged + 3, f"forged = {self.forged}")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        distances, left, kept = squared_distances(rows), list(range(len(rows))), []
        for _ in range(len(rows) - 2 * self.forged):
            found = scores(distances[left][:, left], self.forged)
            kept.append(left.pop(int(torch.argmin(found))))
        chosen = rows[sorted(kept)]
        away = (chosen - median_of(chosen)).abs()
        order = torch.argsort(away, dim=0, stable=True)[: len(kept) - 2 * self.forged]
        return mean_of(torch.gather(chosen, 0, order.sort(dim=0).values))
