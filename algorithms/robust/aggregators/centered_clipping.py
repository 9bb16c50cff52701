"""Centered clipping: the mean of the rows' distances from a center, none of which counts for more than a radius."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.numerics.sums import squared_norms
from algorithms.randomness import Draw
from algorithms.robust.aggregators.aggregator import Aggregator
from algorithms.robust.aggregators.mean import mean_of, weighted_sum


@dataclass(frozen=True)
class CenteredClipping(Aggregator):
    """The rows' mean distance from a center, each clipped at a radius, added to it, some times.

    Karimireddy, He, Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021, arXiv 2012.10333. From
    v, the last aggregate,

        v <- v + 1/m sum_i (v_i - v) min(1, tau / |v_i - v|)

    It is meant for rows that are momenta, whose variance is small. A row can move v by tau / m and no further. With an
    infinite radius and one iteration it is the mean.

    Args:
        radius: tau, > 0.
        iterations: >= 1.
    """

    radius: float = 10.0
    iterations: int = 1

    def __post_init__(self) -> None:
        check(self.radius > 0, self, "radius", "> 0")
        check(self.iterations >= 1, self, "iterations", ">= 1")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        v = center
        for _ in range(self.iterations):
            v = v + mean_of(clipped(rows - v, self.radius))
        return v

    def beside(self, own: Tensor, rows: Tensor, weights: Tensor, draw: Draw) -> Tensor:
        """own + sum_j w_ij (x_j - own) min(1, tau / |x_j - own|): self-centred clipping, in one iteration."""
        return own + weighted_sum(weights, clipped(rows - own, self.radius))


@dataclass(frozen=True)
class NormBound(Aggregator):
    """The mean of the rows, each scaled down to a norm if it has a larger one.

    Sun, Kairouz, Suresh, McMahan, "Can You Really Backdoor Federated Learning?", 2019, arXiv 1911.07963. For rows that
    are updates: it bounds what scaled ones (model replacement) can do.

    Args:
        bound: The norm, > 0.
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.bound), self, "bound", "> 0")

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        return mean_of(clipped(rows, self.bound))


def clipped(rows: Tensor, radius: float) -> Tensor:
    """(m, d): rows with a norm of at most the radius; those that are not finite become 0."""
    norms = squared_norms(rows).sqrt()
    finite = norms.isfinite()
    scale = torch.where(norms > radius, radius / norms, 1.0).to(rows)
    return (scale[:, None] * rows).where(finite[:, None], 0.0)
