"""FedAdam and FedYogi."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import FedAdam, FedYogi
from tests.algorithms.federated.literal import RATE, STEPS, Weights, assert_serves, drawn, everyone, rounds
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, run, starts
from topologies import ring

N = 6


def fed_adam(problem: LeastSquares, w: Array, p: Weights, b1: float, b2: float, tau: float, v0: float) -> Array:
    m, v = np.zeros_like(w), np.full_like(w, v0)

    def server(w: Array, delta: Array, r: int) -> Array:
        nonlocal m, v
        m = b1 * m + (1 - b1) * delta
        v = b2 * v + (1 - b2) * delta**2
        return w + 0.1 * m / (np.sqrt(v) + tau)

    return rounds(problem, w, 5, p, server)


@pytest.mark.parametrize(
    ("b1", "b2", "tau", "v0"), [(0.9, 0.99, 1e-3, 0.0), (0.5, 0.8, 1e-9, 0.01), (0.0, 0.0, 0.1, 0)]
)
@pytest.mark.parametrize("clients", [2, N])
def test_literal_equations(clients: int, b1: float, b2: float, tau: float, v0: float) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = FedAdam(RATE, 0.1, 5, clients, beta1=b1, beta2=b2, tau=tau, second_moment=v0)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    p = everyone(N) if clients == N else drawn((1.0,) * N, clients, "uniform", "sampled")
    assert_serves(models, fed_adam(problem, x.mean(axis=0), p, b1, b2, tau, v0))


@pytest.mark.parametrize(("b1", "b2", "v0"), [(0.9, 0.99, 1e-4), (0.5, 0.8, 0.0)])
@pytest.mark.parametrize("clients", [2, N])
def test_yogi(clients: int, b1: float, b2: float, v0: float) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = FedYogi(RATE, 0.1, 5, clients, beta1=b1, beta2=b2, tau=1e-2, second_moment=v0)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    m, v = np.zeros(problem.d), np.full(problem.d, v0)

    def server(w: Array, delta: Array, r: int) -> Array:
        nonlocal m, v
        m = b1 * m + (1 - b1) * delta
        v = np.where(v > delta**2, v - (1 - b2) * delta**2, v + (1 - b2) * delta**2)
        return w + 0.1 * m / (np.sqrt(v) + 1e-2)

    p = everyone(N) if clients == N else drawn((1.0,) * N, clients, "uniform", "sampled")
    assert_serves(models, rounds(problem, x.mean(axis=0), 5, p, server))


def test_the_first_step_is_not_corrected() -> None:
    # With nothing but the first moment's 1 - beta1 and the second's 1 - beta2 in it.
    problem = least_squares(N)
    x = common(problem)
    final = run(FedAdam(0.05, 0.1, 1, tau=1e-12), ring(N), problem, x, 1).final
    assert np.allclose(np.abs(final - x), 0.1 * 0.1 / np.sqrt(0.01), rtol=1e-6)
    corrected = run(FedAdam(0.05, 0.1, 1, beta1=0.5, tau=1e-12), ring(N), problem, x, 1).final
    assert np.allclose(np.abs(corrected - x), 0.1 * 0.5 / np.sqrt(0.01), rtol=1e-6)


def test_refusals() -> None:
    for options, says in (
        ({"beta1": 1.0}, "beta1 = 1.0 "),
        ({"beta2": -0.1}, "beta2 = -0.1 "),
        ({"tau": 0.0}, "tau = 0.0 "),
        ({"second_moment": -1.0}, "second_moment = -1.0 "),
    ):
        with pytest.raises(ValueError, match=f"^FedAdam: {says}"):
            FedAdam(**options)
