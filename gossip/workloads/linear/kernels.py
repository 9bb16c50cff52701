"""The compiled loops of `LinearModel`. Each sum runs in one fixed order, so that its bits depend on its terms alone."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

KINDS = {"half square": 0, "logistic": 1, "sigmoid": 2}  # of losses, by their names in `LinearModel`
HALF_SQUARE, LOGISTIC = KINDS["half square"], KINDS["logistic"]
LANES = 64  # partial sums of an inner product: independent of each other, so that the loop over them is vectorised

# Without fastmath every product and every sum is rounded by itself, in the order written.


@njit(inline="always")
def _dot(a, b, lanes):  # type: ignore[no-untyped-def]
    lanes[:] = 0
    whole = a.size - a.size % LANES
    for start in range(0, whole, LANES):
        p, q = a[start : start + LANES], b[start : start + LANES]
        for lane in range(LANES):
            lanes[lane] += p[lane] * q[lane]
    total = 0.0
    for lane in range(LANES):
        total += lanes[lane]
    for c in range(whole, a.size):
        total += a[c] * b[c]
    return total


@njit(inline="always")
def _loss_and_slope(prediction, target, kind):  # type: ignore[no-untyped-def]
    """The loss of one example, and its derivative by the prediction."""
    if kind == HALF_SQUARE:
        residual = prediction - target
        return residual * residual / 2, residual
    # The exponential of a number below 0 does not overflow, whatever the margin.
    margin = target * prediction
    small = math.exp(-abs(margin))
    sigmoid = (small if margin > 0 else 1.0) / (1.0 + small)  # 1 / (1 + exp(margin))
    if kind == LOGISTIC:
        return math.log1p(small) + (-margin if margin < 0 else 0.0), -target * sigmoid
    return sigmoid, -target * (small / ((1.0 + small) * (1.0 + small)))


@njit(cache=True, nogil=True)
def losses_and_gradients(  # type: ignore[no-untyped-def]
    features, targets, starts, sizes, examples, x, kind, l2, loss, gradient, first_row, last_row
):
    """loss[r] and gradient[r] of mean_j loss(a_j . x_r, b_j) + l2/2 |x_r|^2, in one pass over the features a_j.

    Args:
        features, targets: (m, d) and (m,), the examples of all nodes.
        starts: (k,) int64, where the examples of each row's node begin.
        sizes: (k,) int64, how many of them to use.
        examples: (k, batch) int64, which; or (k, 0) for the first ones.
        x: (k, d), the points.
        kind: One of the losses of a prediction z and a target b, see KINDS.
        l2: Weight of the squared norm.
        loss, gradient: (k,) and (k, d), the results.
        first_row, last_row: The rows to compute.
    """
    lanes = np.empty(LANES)
    chosen = examples.shape[1] > 0
    for r in range(first_row, last_row):
        point, slopes, count = x[r], gradient[r], sizes[r]
        slopes[:] = 0
        total = 0.0
        for j in range(count):
            place = starts[r] + (examples[r, j] if chosen else j)
            row, target = features[place], targets[place]
            value, slope = _loss_and_slope(_dot(row, point, lanes), target, kind)
            total += value
            for c in range(row.size):
                slopes[c] += slope * row[c]
        for c in range(point.size):
            slopes[c] = slopes[c] / count + l2 * point[c]
        loss[r] = total / count + l2 / 2 * _dot(point, point, lanes)


@njit(cache=True, nogil=True)
def inner_products(features, x, out, first_row, last_row):  # type: ignore[no-untyped-def]
    """out[r] = a_r . x for these rows a_r of the features (m, d) and one x (d,)."""
    lanes = np.empty(LANES)
    for r in range(first_row, last_row):
        out[r] = _dot(features[r], x, lanes)


@njit(cache=True, nogil=True)
def losses_and_slopes(  # type: ignore[no-untyped-def]
    features, targets, starts, examples, x, kind, l2, losses, slopes, first_row, last_row
):
    """Of each example alone: losses[r, j], with l2/2 |x_r|^2, and slopes[r, j], both (k, batch).

    The other arguments are those of `losses_and_gradients`; examples (k, batch) names all that are used.
    """
    lanes = np.empty(LANES)
    for r in range(first_row, last_row):
        point = x[r]
        norm = l2 / 2 * _dot(point, point, lanes)
        for j in range(examples.shape[1]):
            place = starts[r] + examples[r, j]
            value, slopes[r, j] = _loss_and_slope(_dot(features[place], point, lanes), targets[place], kind)
            losses[r, j] = value + norm


@njit(cache=True, nogil=True)
def combinations(features, starts, examples, weights, out, first_row, last_row):  # type: ignore[no-untyped-def]
    """out[r] = mean_j weights[r, j] a_j over the features a_j of the examples (k, batch) of each row."""
    for r in range(first_row, last_row):
        total, count = out[r], examples.shape[1]
        total[:] = 0
        for j in range(count):
            row, weight = features[starts[r] + examples[r, j]], weights[r, j]
            for c in range(row.size):
                total[c] += weight * row[c]
        for c in range(total.size):
            total[c] /= count
