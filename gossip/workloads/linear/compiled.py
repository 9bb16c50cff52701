"""The compiled loops of `LinearModel`. Each sum runs in one fixed order, so that its bits depend on its terms alone."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from algorithms.numerics.compiling import compiled
from algorithms.numerics.inner_products import LANES, inner_product

KINDS = {"half square": 0, "logistic": 1, "sigmoid": 2, "hinge": 3}  # of losses, by their names in `LinearModel`
HALF_SQUARE, LOGISTIC, HINGE = KINDS["half square"], KINDS["logistic"], KINDS["hinge"]

# Without fastmath every product and every sum is rounded by itself, in the order written.


@njit(inline="always")
def _loss_and_slope(prediction, target, kind):  # type: ignore[no-untyped-def]
    """The loss of one example, and its derivative by the prediction."""
    if kind == HALF_SQUARE:
        residual = prediction - target
        return residual * residual / 2, residual
    # The exponential of a number below 0 does not overflow, whatever the margin.
    margin = target * prediction
    if kind == HINGE:
        return max(1.0 - margin, 0.0), -target if margin < 1 else 0.0
    small = math.exp(-abs(margin))
    sigmoid = (small if margin > 0 else 1.0) / (1.0 + small)  # 1 / (1 + exp(margin))
    if kind == LOGISTIC:
        return math.log1p(small) + (-margin if margin < 0 else 0.0), -target * sigmoid
    return sigmoid, -target * (small / ((1.0 + small) * (1.0 + small)))


@compiled
def losses_and_gradients(data, places, x, objective, out, rows):  # type: ignore[no-untyped-def]
    """The loss and the gradient of mean_j loss(a_j . x_r, b_j) + l2/2 |x_r|^2, in one pass over the features a_j.

    Args:
        data: The features (m, d) and the targets (m,) of the examples of all nodes.
        places: Where the examples of each row's node begin, (k,) int64; how many of them to use, (k,) int64; and which,
            (k, batch) int64, or (k, 0) for the first ones.
        x: (k, d), the points.
        objective: One of the losses of a prediction and a target, see KINDS; and l2, the weight of the squared norm.
        out: The losses (k,) and the gradients (k, d), which are written.
        rows: The first row to compute, and the one after the last.
    """
    (features, targets), (starts, sizes, examples), (kind, l2) = data, places, objective
    (loss, gradient), (first_row, last_row) = out, rows
    lanes = np.empty(LANES)
    chosen = examples.shape[1] > 0
    for r in range(first_row, last_row):
        point, slopes, count = x[r], gradient[r], sizes[r]
        slopes[:] = 0
        total = 0.0
        for j in range(count):
            place = starts[r] + (examples[r, j] if chosen else j)
            row, target = features[place], targets[place]
            value, slope = _loss_and_slope(inner_product(row, point, lanes), target, kind)
            total += value
            for c in range(row.size):
                slopes[c] += slope * row[c]
        for c in range(point.size):
            slopes[c] = slopes[c] / count + l2 * point[c]
        loss[r] = total / count + l2 / 2 * inner_product(point, point, lanes)


@compiled
def inner_products(features, x, out, rows):  # type: ignore[no-untyped-def]
    """out[r] = a_r . x for these rows a_r of the features (m, d) and one x (d,)."""
    first_row, last_row = rows
    lanes = np.empty(LANES)
    for r in range(first_row, last_row):
        out[r] = inner_product(features[r], x, lanes)


@compiled
def losses_and_slopes(data, places, x, objective, out, rows):  # type: ignore[no-untyped-def]
    """The loss of each example alone, with l2/2 |x_r|^2, and its derivative by the prediction.

    Args:
        data: The features (m, d) and the targets (m,) of the examples of all nodes.
        places: Where the examples of each row's node begin, (k,) int64; and which to use, (k, batch) int64.
        x: (k, d), the points.
        objective: One of the losses of a prediction and a target, see KINDS; and l2, the weight of the squared norm.
        out: The losses and the slopes, (k, batch) both, which are written.
        rows: The first row to compute, and the one after the last.
    """
    (features, targets), (starts, examples), (kind, l2) = data, places, objective
    (losses, slopes), (first_row, last_row) = out, rows
    lanes = np.empty(LANES)
    for r in range(first_row, last_row):
        point = x[r]
        norm = l2 / 2 * inner_product(point, point, lanes)
        for j in range(examples.shape[1]):
            place = starts[r] + examples[r, j]
            value, slopes[r, j] = _loss_and_slope(inner_product(features[place], point, lanes), targets[place], kind)
            losses[r, j] = value + norm


@compiled
def combinations(features, places, weights, out, rows):  # type: ignore[no-untyped-def]
    """out[r] = mean_j weights[r, j] a_j over the features a_j of the examples (k, batch) of each row.

    Args:
        features: (m, d), of the examples of all nodes.
        places: Where the examples of each row's node begin, (k,) int64; and which to use, (k, batch) int64.
        weights: (k, batch).
        out: (k, d), which is written.
        rows: The first row to compute, and the one after the last.
    """
    (starts, examples), (first_row, last_row) = places, rows
    for r in range(first_row, last_row):
        total, count = out[r], examples.shape[1]
        total[:] = 0
        for j in range(count):
            row, weight = features[starts[r] + examples[r, j]], weights[r, j]
            for c in range(row.size):
                total[c] += weight * row[c]
        for c in range(total.size):
            total[c] /= count
