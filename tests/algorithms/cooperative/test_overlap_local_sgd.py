"""Overlap Local-SGD and CoCoD-SGD against literal transcriptions."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from algorithms import Algorithm, CocodSGD, MatrixNetwork, OverlapLocalSGD, Posted, StepDecay
from tests.algorithms.helpers import Array, LeastSquares, common, dense, flat, least_squares, run, starts
from topologies import ring

STEPS = 100
DECAY = StepDecay(lr=0.05, milestones=(30, 61), factor=0.3)


def rate(k: int) -> float:
    return 0.05 if k < 30 else 0.015 if k < 61 else 0.0045


def overlap(
    problem: LeastSquares, x: Array, period: int, alpha: float, beta: float, momentum: float
) -> tuple[Array, Array]:
    """(models, anchors as they are used) with the queue of what is on its way."""
    under_way = x.mean(axis=0)
    u, v = np.zeros_like(x), np.zeros_like(x)
    models, anchors = [x], []
    for k in range(STEPS):
        u = momentum * u + problem.gradient(x)
        x = x - rate(k) * u
        if (k + 1) % period == 0:
            z = under_way
            x = (1 - alpha) * x + alpha * z
            if beta:
                v = beta * v - (x - z) / rate(k)
                under_way = (z - rate(k) * v).mean(axis=0)
            else:
                under_way = x.mean(axis=0)
            anchors.append(under_way)
        models.append(x)
    return np.stack(models), np.stack(anchors)


@pytest.mark.parametrize("n", [1, 8, 13])
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize(("beta", "momentum"), [(0.0, 0.0), (0.7, 0.0), (0.7, 0.5)])
def test_overlap_local_sgd(n: int, period: int, beta: float, momentum: float) -> None:
    problem = least_squares(n)
    x = starts(problem)
    models = run(OverlapLocalSGD(DECAY, period, 0.6, beta, momentum), ring(n), problem, x, STEPS).models
    assert np.abs(models - overlap(problem, x, period, 0.6, beta, momentum)[0]).max() <= 1e-10


def test_a_small_momentum_of_the_anchor_is_hardly_any() -> None:
    problem = least_squares(8)
    finals = [
        run(OverlapLocalSGD(0.02, beta=beta), ring(8), problem, starts(problem), 100).final for beta in (0.0, 1e-13)
    ]
    assert np.abs(finals[0] - finals[1]).max() <= 1e-10


def test_a_communication_conserves_the_virtual_model() -> None:
    problem = flat(8, 3)
    x = starts(problem)
    models, anchors = overlap(problem, x, 2, 0.6, 0.0, 0.0)
    ran = run(OverlapLocalSGD(0.02, 2, 0.6, 0.0), ring(8), problem, x, STEPS).models
    np.testing.assert_allclose(ran, models, atol=1e-13)
    virtual = 0.4 * ran[2::2].mean(axis=1) + 0.6 * anchors
    np.testing.assert_allclose(virtual, np.tile(x.mean(axis=0), (STEPS // 2, 1)), atol=1e-13)


def cocod(problem: LeastSquares, x: Array, period: int, momentum: float) -> Array:
    u = np.zeros_like(x)
    sent: Array | None = None
    models = [x]
    for k in range(STEPS):
        u = momentum * u + problem.gradient(x)
        x = x - rate(k) * u
        if (k + 1) % period == 0:
            if sent is not None:
                x = np.stack([sent.mean(axis=0) + (x[i] - sent[i]) for i in range(problem.n)])
            sent = x
        models.append(x)
    return np.stack(models)


@pytest.mark.parametrize("n", [1, 8, 13])
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_cocod_sgd(n: int, period: int, momentum: float) -> None:
    problem = least_squares(n)
    x = starts(problem)
    models = run(CocodSGD(DECAY, period, momentum), ring(n), problem, x, STEPS).models
    assert np.abs(models - cocod(problem, x, period, momentum)).max() <= 1e-10


def test_cocod_keeps_the_average_and_without_gradients_agrees_on_it() -> None:
    problem = flat(8, 3)
    x = starts(problem)
    models = run(CocodSGD(period=2), ring(8), problem, x, 10).models
    np.testing.assert_allclose(models.mean(axis=1), np.tile(x.mean(axis=0), (11, 1)), atol=1e-14)
    np.testing.assert_array_equal(models[3], x)
    np.testing.assert_allclose(models[4], np.tile(x.mean(axis=0), (8, 1)), atol=1e-14)


METHODS = [OverlapLocalSGD(DECAY, 3), OverlapLocalSGD(DECAY, 3, beta=0.0), CocodSGD(DECAY, 3)]


@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_a_network_that_sends_nothing_ahead_gives_the_same_bits(algorithm: Algorithm) -> None:
    class Blocking(MatrixNetwork):
        def post_mean(self, value: Tensor) -> Posted[Tensor]:
            posted.append(Posted(value))
            return posted[-1]

    problem, posted = least_squares(8), []
    ahead = run(algorithm, ring(8), problem, starts(problem), 50)
    blocking = run(algorithm, ring(8), problem, starts(problem), 50, network=Blocking(dense(ring(8))))
    assert len(posted) == 16
    np.testing.assert_array_equal(ahead.models, blocking.models)


def test_an_average_a_period() -> None:
    problem = least_squares(8)
    for algorithm, starting in ((OverlapLocalSGD(0.01, 3), 1), (CocodSGD(0.01, 3), 0)):
        ran = run(algorithm, ring(8), problem, common(problem), 10)
        assert ran.rounds == 3 + starting
        assert ran.bytes.sum() == (3 + starting) * 2 * 7 * 5 * 8


def test_refusals() -> None:
    for kind, options, name in (
        (OverlapLocalSGD, {"alpha": 1.0}, "alpha"),
        (OverlapLocalSGD, {"alpha": 0.0}, "alpha"),
        (OverlapLocalSGD, {"beta": 1.0}, "beta"),
        (OverlapLocalSGD, {"period": 0}, "period"),
        (CocodSGD, {"period": 0}, "period"),
        (CocodSGD, {"momentum": -0.1}, "momentum"),
    ):
        with pytest.raises(ValueError, match=f"{kind.__name__}: {name} = .* is not allowed; it must be"):
            kind(**options)
