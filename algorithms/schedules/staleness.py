"""How much an update counts that was computed from an old model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from algorithms.checks import check


@dataclass(frozen=True)
class StalenessDiscount:
    """Called with the staleness of an update, the number of models since the one that it began with, gives its share.

    Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", 2019, arXiv 1903.03934, has the three that are here. All
    are 1 where nothing has changed meanwhile, and never grow.
    """

    def __call__(self, staleness: int) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class NoDiscount(StalenessDiscount):
    """Old updates count as much as new ones."""

    def __call__(self, staleness: int) -> float:
        return 1.0


@dataclass(frozen=True)
class PolynomialDiscount(StalenessDiscount):
    """(staleness + 1)^-exponent.

    Args:
        exponent: >= 0.
    """

    exponent: float = 0.5

    def __post_init__(self) -> None:
        check(0 <= self.exponent < math.inf, self, "exponent", ">= 0")

    def __call__(self, staleness: int) -> float:
        return float((staleness + 1) ** -self.exponent)


@dataclass(frozen=True)
class HingeDiscount(StalenessDiscount):
    """1 up to a staleness of `start`, then 1 / (slope (staleness - start) + 1).

    Args:
        slope: >= 0.
        start: >= 0.
    """

    slope: float = 10.0
    start: int = 4

    def __post_init__(self) -> None:
        check(0 <= self.slope < math.inf, self, "slope", ">= 0")
        check(self.start >= 0, self, "start", ">= 0")

    def __call__(self, staleness: int) -> float:
        return 1 / (self.slope * max(0, staleness - self.start) + 1)
