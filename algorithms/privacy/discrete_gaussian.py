"""Exact samples of the discrete Gaussian on the integers.

Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", NeurIPS 2020, arXiv 2004.00010: algorithms 1
to 3. Only integers are drawn and compared, so that no rounding shows in what is sampled: the parameter sigma^2 is a
fraction, and all products fit into 63 bits.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import NonFiniteError

WIDEST = 1 << 12  # sigma at most
PARTS = 1 << 10  # in which sigma^2 is counted where it is below this

Integers = NDArray[np.int64]


def variance_above(deviation: float) -> Fraction:
    """The parameter sigma^2 to use for a deviation: not below its square, and hardly above.

    Raises:
        NonFiniteError: It is out of range, as that of a clip norm that has grown while a method trained.
    """
    if not 0 < deviation <= WIDEST:
        raise NonFiniteError(f"discrete noise has a deviation of {deviation:.4g} steps; at most {WIDEST} are possible")
    parts = 1 if deviation * deviation >= PARTS else PARTS
    return Fraction(math.ceil(Fraction(deviation) ** 2 * parts), parts)


def discrete_gaussian(variance: Fraction, size: int, random: np.random.Generator) -> Integers:
    """(size,): independent integers y with probabilities in proportion to exp(-y^2 / (2 sigma^2)).

    Args:
        variance: sigma^2, from `variance_above`.
        size: How many.
        random: Where they come from.
    """
    p, q = variance.numerator, variance.denominator
    t = math.isqrt(p // q) + 1
    kept = [np.empty(0, np.int64)]
    while (missing := size - sum(map(len, kept))) > 0:
        y = _discrete_laplace(t, 2 * missing + 16, random)
        gap = np.abs(y) * (t * q) - p  # accepted with probability exp(-(|y| - sigma^2 / t)^2 / (2 sigma^2))
        kept.append(y[_coins(gap * gap, 2 * p * q * t * t, random)])
    return np.concatenate(kept)[:size]


def _discrete_laplace(t: int, tries: int, random: np.random.Generator) -> Integers:
    """Independent integers, as many as come of these tries, with probabilities in proportion to exp(-|y| / t)."""
    u = random.integers(0, t, tries)
    u = u[_coins(u, t, random)]
    magnitude = u + t * _runs(len(u), random)
    negative = random.integers(0, 2, len(u)) == 1
    return np.where(negative, -magnitude, magnitude)[~(negative & (magnitude == 0))]


def _coins(numerators: Integers, denominator: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Each True with probability exp(-numerator / denominator), >= 0; algorithm 1."""
    whole, rest = np.divmod(numerators, denominator)
    # exp(-1) must come up as often as the whole part says: a run is longer or equal with just this probability.
    heads = _runs(len(whole), random) >= whole
    return heads & _small_coins(rest, denominator, random)


def _runs(size: int, random: np.random.Generator) -> Integers:
    """(size,): how often each coin of probability exp(-1) comes up before it does not."""
    runs, going = np.zeros(size, np.int64), np.arange(size)
    while len(going):
        going = going[_small_coins(np.ones(len(going), np.int64), 1, random)]
        runs[going] += 1
    return runs


def _small_coins(numerators: Integers, denominator: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """As `_coins`, for fractions of at most 1: whether the first k at which a coin of probability numerator / (k
    denominator) fails is odd."""
    odd, going, k = np.zeros(len(numerators), np.bool_), np.arange(len(numerators)), 1
    while len(going):
        came_up = random.integers(0, denominator * k, len(going)) < numerators[going]
        odd[going[~came_up]] = k % 2 == 1
        going, k = going[came_up], k + 1
    return odd
