"""The compiled loops of `algorithms.oracles.Sdca`: steps on single dual variables, and what is left to gain.

A loss of a prediction z and a target y has the dual variable a, which is -(its derivative by z) at the optimum; that of
two classes, y = -1 or +1, has b = y a in 0..1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from algorithms.numerics.compiling import compiled
from algorithms.numerics.inner_products import LANES, inner_product

HALF_SQUARE, LOGISTIC, HINGE = 0, 1, 2
KINDS = {"half square": HALF_SQUARE, "logistic": LOGISTIC, "hinge": HINGE}  # by their names in `HasDual`
ITERATIONS = 200  # of Newton's method, which halves its interval where it would leave it


@njit(inline="always")
def _logistic_step(b, margin, q):  # type: ignore[no-untyped-def]
    """The root c of log((1 - c) / c) = margin + q (c - b), as 1 / (1 + exp(s)): in s the curve is no steeper than q."""
    low, high = margin - q * b, margin + q * (1.0 - b)
    s = 0.5 * (low + high)
    if 0.0 < b < 1.0:
        s = min(max(math.log((1.0 - b) / b), low), high)
    c = b
    for _ in range(ITERATIONS):
        small = math.exp(-abs(s))
        c = (small if s > 0 else 1.0) / (1.0 + small)
        value = s - margin - q * (c - b)
        if value > 0:
            high = s
        else:
            low = s
        following = s - value / (1.0 + q * c * (1.0 - c))
        if not low <= following <= high:
            following = 0.5 * (low + high)
        if abs(following - s) <= 1e-15 * (1.0 + abs(s)):
            break
        s = following
    return c


@njit(inline="always")
def _best(a, z, target, q, kind):  # type: ignore[no-untyped-def]
    """The dual variable c that maximises -conjugate(-c) - c z - q/2 (c - a)^2, from a."""
    if kind == HALF_SQUARE:
        return a + (target - a - z) / (1.0 + q)
    margin, b = target * z, target * a
    if kind == LOGISTIC:
        return target * _logistic_step(b, margin, q)
    if q > 0:
        return target * min(max(b + (1.0 - margin) / q, 0.0), 1.0)
    return target * (1.0 if margin < 1 else 0.0 if margin > 1 else b)


@compiled
def coordinate_steps(data, examples, dual, x, moved, parameters):  # type: ignore[no-untyped-def]
    """For each of these examples in turn, set its dual variable to the best one at x + moved, which goes with it.

    Args:
        data: The features (m, d) and the targets (m,) of a node.
        examples: (steps,) int64.
        dual: (m,), which is changed.
        x: (d,).
        moved: (d,), to which share * (change of the variable) * (features) is added.
        parameters: One of KINDS, and share.
    """
    (features, targets), (kind, share) = data, parameters
    lanes, point = np.empty(LANES), x + moved
    for j in examples:
        row = features[j]
        z, square = inner_product(row, point, lanes), inner_product(row, row, lanes)
        best = _best(dual[j], z, targets[j], share * square, kind)
        step = share * (best - dual[j])
        dual[j] = best
        for c in range(x.size):
            moved[c] += step * row[c]
            point[c] = x[c] + moved[c]


@njit(inline="always")
def _entropy(b):  # type: ignore[no-untyped-def]
    return b * math.log(b) if b > 0 else 0.0


@compiled
def mean_gap(data, dual, x, kind):  # type: ignore[no-untyped-def]
    """mean_j loss(z_j) + conjugate(-a_j) + a_j z_j over all examples, with z_j = a_j . x: >= 0.

    Args:
        data: The features (m, d) and the targets (m,) of a node.
        dual: (m,).
        x: (d,).
        kind: One of KINDS.
    """
    features, targets = data
    lanes, total = np.empty(LANES), 0.0
    for j in range(targets.size):
        z, target = inner_product(features[j], x, lanes), targets[j]
        if kind == HALF_SQUARE:
            rest = z - target + dual[j]
            total += rest * rest / 2
            continue
        margin, b = target * z, target * dual[j]
        if kind == HINGE:
            total += max(1.0 - margin, 0.0) - b * (1.0 - margin)
        else:
            loss = math.log1p(math.exp(-abs(margin))) + max(-margin, 0.0)
            total += loss + _entropy(b) + _entropy(1.0 - b) + b * margin
    return total / targets.size
