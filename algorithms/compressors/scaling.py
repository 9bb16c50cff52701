"""Vectors in double precision, far from the ends of its range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def lift(x: Array) -> tuple[Array, Array]:
    """(the rows (..., n) in double precision times powers of two, exponents (..., 1) that undo this).

    The largest magnitude of a row comes to lie in [1/2, 1), unless all is zero.
    """
    vectors = x.astype(np.float64)
    exponents = np.frexp(np.abs(vectors).max(axis=-1, keepdims=True))[1]
    return np.ldexp(vectors, -exponents), exponents


def drop(numbers: Array, exponents: Array) -> Array:
    """Numbers times 2^exponents, infinite where this is beyond double precision."""
    with np.errstate(over="ignore"):
        return np.ldexp(numbers, exponents)
