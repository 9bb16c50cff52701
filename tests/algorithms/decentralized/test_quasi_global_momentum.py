"""Quasi-global momentum."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Cosine, DecentralizedSGD, LearningRate, QuasiGlobalMomentum
from tests.algorithms.helpers import ALL, RATES, assert_follows, common, distance, least_squares, run, starts
from topologies import complete, ring


@pytest.mark.parametrize("name", ["ring-16", "erdos_renyi-13", "exponential-13", "one_peer_exponential-16"])
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("momentum", "mu"), [(0.9, 0.9), (0.5, 0.0), (0.6, 0.8)])
def test_trajectory(momentum: float, mu: float, nesterov: bool, lr: float | LearningRate, name: str) -> None:
    def equations(X, gradient, W, rate, steps):
        M_hat = np.zeros_like(X)
        models = [X]
        for k in range(steps):
            G = gradient(X)
            M = momentum * M_hat + G
            half = X - rate(k) * (G + momentum * M if nesterov else M)
            mixed = W(k) @ half
            M_hat = mu * M_hat + (1 - mu) * (X - mixed) / rate(k)
            X = mixed
            models.append(X)
        return np.stack(models)

    algorithm = QuasiGlobalMomentum(lr=lr, momentum=momentum, mu=mu, nesterov=nesterov)
    assert_follows(algorithm, ALL[name], equations)


def test_without_momentum_it_is_adapt_then_combine() -> None:
    problem = least_squares(13)
    got, wanted = (
        run(algorithm, ring(13), problem, starts(problem), 50).models
        for algorithm in (QuasiGlobalMomentum(lr=0.05, momentum=0.0), DecentralizedSGD(lr=0.05))
    )
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(("momentum", "mu"), [(0.9, 0.9), (0.5, 0.7)])
def test_on_a_complete_graph_it_is_quasi_hyperbolic_momentum(momentum: float, mu: float) -> None:
    problem = least_squares(8)
    models = run(
        QuasiGlobalMomentum(lr=0.05, momentum=momentum, mu=mu), complete(8), problem, common(problem), 60
    ).models
    x, buffer = common(problem)[0], 0.0
    for t in range(61):
        assert np.abs(models[t] - x).max() <= 1e-12
        g = problem.gradient(np.tile(x, (8, 1))).mean(axis=0)
        x = x - 0.05 * (momentum * buffer + g)
        buffer = (mu + (1 - mu) * momentum) * buffer + (1 - mu) * g
    heavy_ball = run(DecentralizedSGD(lr=0.05, momentum=momentum), complete(8), problem, common(problem), 60).models
    assert np.abs(models - heavy_ball).max() > 1e-3


def test_a_learning_rate_of_zero_only_averages() -> None:
    problem = least_squares(13)
    algorithm = QuasiGlobalMomentum(lr=Cosine(lr=0.1, steps=50))
    models = run(algorithm, ring(13), problem, starts(problem), 300).models
    np.testing.assert_allclose(models[51:].mean(axis=1), np.tile(models[51].mean(axis=0), (250, 1)), atol=1e-13)
    assert np.ptp(models[-1], axis=0).max() < 1e-5


def test_it_is_biased() -> None:
    problem = least_squares(8)
    final = run(QuasiGlobalMomentum(lr=0.02), ring(8), problem, starts(problem), 2000).final
    assert 1e-3 < distance(final, problem.optimum) < 0.5


def test_sends_one_vector_a_round() -> None:
    problem = least_squares(13, d=11)
    result = run(QuasiGlobalMomentum(), ring(13), problem, starts(problem), 9)
    assert result.messages.tolist() == [18] * 13
    assert result.bytes.tolist() == [18 * 88] * 13


def test_refusals() -> None:
    assert QuasiGlobalMomentum.needs == ("doubly_stochastic",)
    for name, bad in (("momentum", 1.0), ("momentum", -0.1), ("mu", 1.0), ("mu", -0.1)):
        with pytest.raises(ValueError, match=rf"^QuasiGlobalMomentum: {name} = {bad} is not allowed"):
            QuasiGlobalMomentum(**{name: bad})
    with pytest.raises(ValueError, match=r"^QuasiGlobalMomentum: nesterov = True is not allowed"):
        QuasiGlobalMomentum(momentum=0.0, nesterov=True)
