"""Regularizers r(x) with their proximal operators: the part of a composite objective that has no gradient.

    minimise (1/n) sum_i f_i(x) + r(x)        prox_{c r}(z) = argmin_y r(y) + |y - z|^2 / (2 c)

Parikh & Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from algorithms.checks import check
from algorithms.layout import Layout


@dataclass(frozen=True)
class Proximal:
    """A convex regularizer r. Its fields are its parameters."""

    def on(self, layout: Layout) -> Self:
        """This regularizer for a model of these tensors, which it may treat one by one."""
        return self

    def value(self, x: Tensor) -> Tensor:
        """r at each row of x (k, d), as (k,); infinity outside its domain."""
        raise NotImplementedError

    def prox(self, z: Tensor, step: float) -> Tensor:
        """prox_{step r} of each row of z (k, d), in new memory; no row's bits depend on the others.

        Args:
            z: (k, d).
            step: c > 0, the learning rate of the gradient step before.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class L1(Proximal):
    """weight |x|_1; its prox moves each entry towards 0 by step * weight (soft threshold).

    Args:
        weight: >= 0.
    """

    weight: float = 1e-3

    def __post_init__(self) -> None:
        check(self.weight >= 0, self, "weight", ">= 0")

    def value(self, x: Tensor) -> Tensor:
        return self.weight * x.abs().sum(dim=1)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return z.sign() * (z.abs() - step * self.weight).clamp(min=0)
