"""Krum: the row whose nearest neighbours are nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.sums import squared_norms
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator, refuse
from algorithms.robust.aggregators.mean import mean_of


@dataclass(frozen=True)
class Krum(Aggregator):
    """The mean of the rows that are closest to those around them: Krum with one, multi-Krum with several.

    Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
    NeurIPS 2017, arXiv 1703.02757. With m rows, of which f may be forged, row i has the score

        s_i = the sum of the m - f - 2 smallest |v_i - v_j|^2 over j != i

    and the rows with the smallest scores are kept; of equal ones the first. It needs m > 2 f + 2.

    Args:
        forged: f, >= 0.
        kept: How many rows, >= 1 and at most m - f.
    """

    forged: int = 1
    kept: int = 1

    def __post_init__(self) -> None:
        check(self.forged >= 0, self, "forged", ">= 0")
        check(self.kept >= 1, self, "kept", ">= 1")

    def check_rows(self, rows: int) -> None:
        refuse(self, rows, max(2 * self.forged + 3, self.kept + self.forged), f"forged = {self.forged}")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        order = torch.argsort(scores(squared_distances(rows), self.forged), stable=True)
        return mean_of(rows[order[: self.kept].sort().values])


def squared_distances(rows: Tensor) -> Tensor:
    """(m, m) float64, between each two of rows (m, d); infinite where one of them is not finite."""
    distances = torch.stack([squared_norms(rows - row) for row in rows])
    return distances.nan_to_num(nan=torch.inf)


def scores(distances: Tensor, forged: int) -> Tensor:
    """(m,): those of Krum, of squared distances (m, m)."""
    m = len(distances)
    others = distances.masked_fill(torch.eye(m, dtype=torch.bool, device=distances.device), torch.inf)
    return others.sort(dim=1).values[:, : max(1, m - forged - 2)].sum(dim=1)
