"""Regularizers r(x): the part of a composite objective that has no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from algorithms.checks import check
from algorithms.layout import Layout


@dataclass(frozen=True)
class Proximal:
    """A convex regularizer r, with its proximal operator. Its fields are its parameters.

        minimise (1/n) sum_i f_i(x) + r(x)        prox_{c r}(z) = argmin_y r(y) + |y - z|^2 / (2 c)

    Parikh & Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014. A constraint is a
    regularizer that is infinite outside a set; its prox is the projection, whatever c.
    """

    def for_layout(self, layout: Layout) -> Self:
        """This regularizer for a model of these tensors, which it may treat one by one.

        Raises:
            ValueError: if it cannot be one of such a model.
        """
        return self

    def value(self, x: Tensor) -> Tensor:
        """r at each row of x (k, d), as (k,); infinity outside its domain.

        A point that misses the domain by no more than its entries' rounding counts as inside.
        """
        raise NotImplementedError

    def prox(self, z: Tensor, step: float) -> Tensor:
        """prox_{step r} of each row of z (k, d), in new memory; no row's bits depend on the others.

        Args:
            z: (k, d).
            step: c >= 0, the learning rate of the gradient step before.
        """
        raise NotImplementedError


def check_prox(owner: object, prox: Proximal | None) -> None:
    """Refuse what is neither a regularizer nor None."""
    check(prox is None or isinstance(prox, Proximal), owner, "prox", "None, or a regularizer such as L1(weight=0.001)")


def proximal_step(prox: Proximal | None, z: Tensor, step: float) -> Tensor:
    """prox_{step r}(z), (k, d); z itself without a regularizer."""
    return z if prox is None else prox.prox(z, step)
