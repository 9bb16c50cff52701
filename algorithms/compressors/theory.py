"""What is known of compression operators: classes, their constants, and what follows from what.

Unbiased operators have E C(x) = x and E|C(x) - x|^2 <= omega |x|^2, contractions E|C(x) - x|^2 <= (1 - alpha) |x|^2.
The classes B1, B2 and B3 of biased operators are those of Beznosikov, Horváth, Richtárik, Safaryan, "On Biased
Compression for Distributed Learning", JMLR 2023, arXiv 2002.12410.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol


class B1(NamedTuple):
    """alpha |x|^2 <= E|C(x)|^2 <= beta <E C(x), x>."""

    alpha: float
    beta: float


class B2(NamedTuple):
    """max(gamma |x|^2, E|C(x)|^2 / beta) <= <E C(x), x>."""

    gamma: float
    beta: float


class B3(NamedTuple):
    """E|scale C(x) - x|^2 <= (1 - 1 / delta) |x|^2."""

    delta: float
    scale: float


def b1_from(omega: float, alpha: float) -> B1 | None:
    """The constants of class B1 that follow from a finite omega or, if there is none, from alpha > 0; else None."""
    if math.isfinite(omega):
        return B1(1, 1 + omega)
    return B1(alpha**2 / 4, 2) if alpha else None


def b2_from(omega: float, alpha: float) -> B2 | None:
    """The constants of class B2 that follow from a finite omega or, if there is none, from alpha > 0; else None."""
    if math.isfinite(omega):
        return B2(1, 1 + omega)
    return B2(alpha / 2, 2) if alpha else None


def b3_from(omega: float, alpha: float) -> B3 | None:
    """The constants of class B3 that follow from a finite omega or, if there is none, from alpha > 0; else None."""
    if math.isfinite(omega):
        return B3(1 + omega, 1 / (1 + omega))
    return B3(1 / alpha, 1) if alpha else None


class Operator(Protocol):
    """What the checks ask of an operator."""

    @property
    def biased(self) -> bool:
        """Whether E C(x) may differ from x."""

    def check_dimension(self, d: int) -> None:
        """Raise ValueError if vectors of d numbers cannot be compressed."""

    def omega(self, d: int) -> float:
        """The relative variance of an unbiased operator, infinite if not known."""

    def alpha(self, d: int) -> float:
        """By how much it contracts, 0 if not known to."""


def check_contraction(owner: object, compressor: Operator, d: int) -> None:
    """Raise ValueError unless vectors of d numbers can be compressed, by a contraction."""
    compressor.check_dimension(d)
    if compressor.alpha(d) <= 0:
        advice = (
            "; Contraction(compressor) makes one of it"
            if not compressor.biased
            else _if_it_is(compressor, "has a method alpha(self, d) that gives its constant, above 0")
        )
        raise ValueError(
            f"{type(owner).__name__}: compressor = {compressor} is no contraction of {d} numbers, which this method "
            f"needs{advice}"
        )


def _if_it_is(compressor: Operator, says: str) -> str:
    """What to do where the class of one's own may only lack a word."""
    kind = type(compressor)
    return "" if kind.__module__.startswith("algorithms.") else f"; if it is one, {kind.__name__} {says}"


def check_unbiased(owner: object, compressor: Operator, d: int) -> None:
    """Raise ValueError unless vectors of d numbers can be compressed, by an unbiased operator of known variance."""
    compressor.check_dimension(d)
    if compressor.biased or not math.isfinite(compressor.omega(d)):
        advice = (
            "; Induced(compressor, unbiased) makes one of it"
            if compressor.alpha(d) > 0
            else _if_it_is(
                compressor, "has biased = False and a method omega(self, d) that gives its relative variance"
            )
        )
        raise ValueError(
            f"{type(owner).__name__}: compressor = {compressor} is no unbiased operator of {d} numbers with a finite "
            f"omega, which this method needs{advice}"
        )
