"""What is added to a sum of clipped vectors so that nobody's share shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.privacy.discrete_gaussian import WIDEST, discrete_gaussian, variance_above


@dataclass(frozen=True)
class Mechanism:
    """Adds noise to a sum of vectors."""

    discrete: ClassVar[bool] = False
    """Whether the sum is one of integers; see `Spending.discrete`."""

    def prepared(self, rows: Tensor) -> Tensor:
        """What is summed in the place of these clipped vectors (k, d); no norm is larger than before."""
        return rows

    def check_deviation(self, deviation: float) -> None:
        """Refuse noise that this cannot make.

        Raises:
            ValueError: It cannot.
        """

    def noised(self, total: Tensor, deviation: float, random: np.random.Generator) -> Tensor:
        """The sum (d,) of vectors that were `prepared`, with noise of this deviation in each entry."""
        raise NotImplementedError


@dataclass(frozen=True)
class GaussianMechanism(Mechanism):
    """Independent Gaussian noise (Dwork, Roth, 2014, appendix A; Mironov 2017, 1702.07476 for its composition).

    In floating-point numbers, whose gaps an attacker could use (Mironov 2012); the discrete one has none.
    """

    def noised(self, total: Tensor, deviation: float, random: np.random.Generator) -> Tensor:
        noise = torch.from_numpy(random.standard_normal(len(total)))
        return (total.double() + deviation * noise).to(total.dtype)


@dataclass(frozen=True)
class DiscreteGaussianMechanism(Mechanism):
    """Discrete Gaussian noise on a grid, as is needed where integers are summed.

    Canonne, Kamath, Steinke, NeurIPS 2020, arXiv 2004.00010: as much concentrated differential privacy as Gaussian
    noise of the same parameter. Vectors are rounded towards 0 to multiples of `step`, which makes no norm larger; the
    noise is exact on these integers, and its parameter is at least what was asked for. Their sums are exact below 2^23
    steps in float32.

    Args:
        step: The distance of grid points, > 0; the noise must have a deviation of at most 4,096 of these.
    """

    discrete: ClassVar[bool] = True

    step: float = 1e-3

    def __post_init__(self) -> None:
        check(positive(self.step), self, "step", "> 0")

    def check_deviation(self, deviation: float) -> None:
        least = deviation / WIDEST
        check(self.step >= least, self, "step", f"at least {least:.4g} for noise of deviation {deviation:.4g}")

    def prepared(self, rows: Tensor) -> Tensor:
        return (rows / self.step).trunc() * self.step

    def noised(self, total: Tensor, deviation: float, random: np.random.Generator) -> Tensor:
        integers = (total.double() / self.step).round()
        if deviation:
            drawn = discrete_gaussian(variance_above(deviation / self.step), len(total), random)
            integers = integers + torch.from_numpy(drawn.astype(np.float64))
        return (integers * self.step).to(total.dtype)
