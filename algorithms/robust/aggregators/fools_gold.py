"""FoolsGold: nodes that have always wanted the same count little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.numerics.sums import squared_norms
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator
from algorithms.robust.aggregators.krum import squared_distances
from algorithms.robust.aggregators.mean import mean_of


@dataclass(frozen=True)
class FoolsGold(Aggregator):
    """The mean of the rows, in which those count little whose sums over time point the same way as another's.

    Fung, Yoon, Beschastnikh, "The Limitations of Federated Learning in Sybil Settings", RAID 2020; "Mitigating Sybils
    in Federated Learning Poisoning", arXiv 1808.04866, Algorithm 1. With H_i, the sum of all rows of node i so far,

        c_ij = the cosine between H_i and H_j;   v_i = max_j c_ij over j != i
        where v_j > v_i:   c_ij <- c_ij v_i / v_j        honest nodes that resemble attackers are pardoned
        a_i = 1 - max_j c_ij;   a_i <- a_i / max_k a_k
        a_i <- kappa (ln(a_i / (1 - a_i)) + 1/2), cut off at 0 and 1

    and the result is 1/m sum_i a_i u_i; the paper has the sum, so that its learning rate is 1/m of this one. As in the
    released code, a cosine below 0 counts as 0. All entries count alike in the cosine, where the paper may weigh those
    that matter. If all sums point the same way nothing counts, and the result is 0.

    It is for attackers that collude (label flips, backdoors) and honest nodes whose data differ, any number of them:
    where the data are the same for all, the honest ones resemble each other too. It does not bound what a single
    attacker can do. A row that is not finite is left out.

    Args:
        confidence: kappa, > 0: how sharply nodes are told apart.
    """

    remembers: ClassVar[bool] = True

    confidence: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.confidence), self, "confidence", "> 0")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        return self.recall(rows, torch.zeros_like(rows), center, draw)[0]

    def recall(self, rows: Tensor, memory: Tensor, center: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """See `Aggregator.recall`; the memory are the sums H_i (m, d)."""
        rows = rows.where(rows.isfinite().all(dim=1)[:, None], 0.0)
        memory = memory + rows
        return mean_of(self.weights(cosines(memory))[:, None].to(rows) * rows), memory

    def weights(self, similar: Tensor) -> Tensor:
        """(m,) float64 in [0, 1]: a_i, of cosines (m, m), which are 0 on the diagonal."""
        similar = similar.clamp(min=0)
        most = similar.max(dim=1).values
        pardon = torch.where(most > most[:, None], most[:, None] / most, 1.0)
        apart = (1 - (similar * pardon).max(dim=1).values).clamp(0, 1)
        if not apart.max() > 0:
            return apart
        share = apart / apart.max()
        return (self.confidence * (torch.log(share / (1 - share)) + 0.5)).clamp(0, 1)


def cosines(rows: Tensor) -> Tensor:
    """(m, m) float64: between each two of rows (m, d); 0 with a row of zeros, and on the diagonal."""
    norms = squared_norms(rows).sqrt()
    pointing = (norms > 0) & norms.isfinite()
    units = rows.double() / norms.where(pointing, 1.0)[:, None].to(rows.device)
    found = (1 - squared_distances(units) / 2).where(pointing & pointing[:, None], 0.0)
    return found.fill_diagonal_(0.0)
