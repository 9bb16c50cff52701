"""Weighted sums of vectors in one pass over memory: the least that mixing has to do.

The baseline is a kernel of its own, so that it stays the same whatever the networks use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 2048  # entries of the output that stay in the first-level cache while many vectors are added


@njit(fastmath=True)
def _sum_1(out, weights, vectors):  # type: ignore[no-untyped-def]
    (u,), (a,) = weights, vectors
    for i in range(out.size):
        out[i] = u * a[i]


@njit(fastmath=True)
def _sum_2(out, weights, vectors):  # type: ignore[no-untyped-def]
    (u, v), (a, b) = weights, vectors
    for i in range(out.size):
        out[i] = u * a[i] + v * b[i]


@njit(fastmath=True)
def _sum_3(out, weights, vectors):  # type: ignore[no-untyped-def]
    (u, v, w), (a, b, c) = weights, vectors
    for i in range(out.size):
        out[i] = u * a[i] + v * b[i] + w * c[i]


@njit(fastmath=True)
def _sum_4(out, weights, vectors):  # type: ignore[no-untyped-def]
    (u, v, w, x), (a, b, c, d) = weights, vectors
    for i in range(out.size):
        out[i] = u * a[i] + v * b[i] + w * c[i] + x * d[i]


@njit(fastmath=True)
def _sum_5(out, weights, vectors):  # type: ignore[no-untyped-def]
    (u, v, w, x, y), (a, b, c, d, e) = weights, vectors
    for i in range(out.size):
        out[i] = u * a[i] + v * b[i] + w * c[i] + x * d[i] + y * e[i]


@njit(fastmath=True)
def _sum_many(out, weights, vectors):  # type: ignore[no-untyped-def]
    for start in range(0, out.size, BLOCK):
        part = out[start : start + BLOCK]
        part[:] = 0
        for t in range(len(vectors)):
            vector = vectors[t]
            for i in range(part.size):
                part[i] += weights[t] * vector[start + i]


SUMS: dict[int, Any] = {1: _sum_1, 2: _sum_2, 3: _sum_3, 4: _sum_4, 5: _sum_5}


def weighted_sum(out: NDArray, weights: Sequence[float], vectors: Sequence[NDArray]) -> Callable[[], None]:
    """A function that writes sum_t weights[t] vectors[t] to `out`, all (d,) and of one type."""
    scalars = [out.dtype.type(weight) for weight in weights]
    if len(vectors) in SUMS:
        return partial(SUMS[len(vectors)], out, tuple(scalars), tuple(vectors))
    return partial(_sum_many, out, np.array(scalars), tuple(vectors))
