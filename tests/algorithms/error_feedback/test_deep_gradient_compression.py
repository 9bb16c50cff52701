"""Deep Gradient Compression: its equations, its warm-up, and what masking does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import DeepGradientCompression, Layout
from tests.algorithms.error_feedback.literal import (
    DECAY,
    STEPS,
    N,
    close,
    decay,
    models,
    momentum_sgd,
    problem_and_start,
)
from tests.algorithms.helpers import Array
from tests.algorithms.reference import top_k

SHAPES = ((2, 1), (3,))  # tensors of 2 and 3 numbers


def largest(v: Array, fraction: float) -> Array:
    return np.concatenate([top_k(part, max(1, int(fraction * len(part)))) for part in (v[:2], v[2:])])


@pytest.mark.parametrize("clip", [None, 1.5])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_equations_of_the_paper(nesterov: bool, clip: float | None) -> None:
    problem, _, X = problem_and_start()
    u, v, wanted = np.zeros_like(X), np.zeros_like(X), [X]
    for t in range(STEPS):
        g = problem.gradient(X)
        if clip:
            g = g * np.minimum(1, clip / np.sqrt(N) / np.linalg.norm(g, axis=1, keepdims=True))
        if nesterov:
            u = 0.6 * (u + g)
            v = v + u + g
        else:
            u = 0.6 * u + g
            v = v + u
        fraction = 0.4 ** (1 / 3) if t < 10 else 0.4 ** (2 / 3) if t < 20 else 0.4
        c = np.stack([largest(row, fraction) for row in v])
        u, v = np.where(c == 0, u, 0), v - c
        X = X - decay(t) * c.mean(axis=0)
        wanted.append(X)
    algorithm = DeepGradientCompression(
        lr=DECAY, fraction=0.4, momentum=0.6, nesterov=nesterov, clip=clip, warm_up=20, stages=2
    ).for_layout(Layout({"weight": SHAPES[0], "bias": SHAPES[1]}))
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("nesterov", [False, True])
def test_vectors_sent_whole_are_trained_by_momentum_sgd(nesterov: bool) -> None:
    """The matrix is masked where it was sent; the vector has the momentum of the mean gradient, as by all-reduce."""
    problem, _, X = problem_and_start()
    u, v, shared, wanted = np.zeros((N, 2)), np.zeros((N, 2)), np.zeros(3), [X]
    for t in range(STEPS):
        g = problem.gradient(X)
        mean = g[:, 2:].mean(axis=0)
        shared = 0.6 * (shared + mean) if nesterov else 0.6 * shared + mean
        u = 0.6 * (u + g[:, :2]) if nesterov else 0.6 * u + g[:, :2]
        v = v + u + (g[:, :2] if nesterov else 0)
        c = np.stack([top_k(row, 1) for row in v])
        u, v = np.where(c == 0, u, 0), v - c
        X = X - decay(t) * np.concatenate([c.mean(axis=0), shared + (mean if nesterov else 0)])
        wanted.append(X)
    algorithm = DeepGradientCompression(lr=DECAY, fraction=0.4, momentum=0.6, nesterov=nesterov, vectors="whole")
    close(models(algorithm.for_layout(Layout({"weight": SHAPES[0], "bias": SHAPES[1]}))), np.stack(wanted))


@pytest.mark.parametrize("shapes", [None, ((5,),), ((2, 1), (3, 1))], ids=["unknown", "vectors", "matrices"])
def test_vectors_cannot_be_told_apart_where_there_are_none_or_nothing_else(shapes: Any) -> None:
    with pytest.raises(ValueError, match="vectors"):
        models(DeepGradientCompression(vectors="whole", shapes=shapes))


def test_with_every_entry_sent_it_is_sgd_without_momentum() -> None:
    close(models(DeepGradientCompression(lr=DECAY, fraction=1.0, momentum=0.9)), momentum_sgd(decay))


def test_the_warm_up_of_the_paper() -> None:
    """25 %, 6.25 %, 1.6 %, 0.4 % and 0.1 %, where the last stage is what follows the warm-up."""
    algorithm = DeepGradientCompression(fraction=0.25**5, warm_up=8, stages=4)
    shares = [algorithm.operator(t).compressor.fraction for t in range(10)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(shares, [0.25**e for e in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fraction": 0.0}, "fraction"),
        ({"clip": 0.0}, "clip"),
        ({"warm_up": -1}, "warm_up"),
        ({"stages": 0}, "stages"),
        ({"vectors": "dense"}, "vectors"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DeepGradientCompression(**options)
