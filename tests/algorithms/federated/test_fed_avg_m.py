"""FedAvgM and FedAdagrad, servers with other steps."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import FedAdagrad, FedAvg, FedAvgM
from tests.algorithms.federated.literal import RATE, SERVER_RATE, STEPS, assert_serves, drawn, everyone, rounds
from tests.algorithms.helpers import Array, least_squares, run, starts
from topologies import ring

N = 6


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("clients", [2, N])
def test_momentum(clients: int, nesterov: bool) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = FedAvgM(RATE, SERVER_RATE, 5, clients, momentum=0.7, nesterov=nesterov)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    v = np.zeros(problem.d)

    def server(w: Array, delta: Array, r: int) -> Array:
        nonlocal v
        v = 0.7 * v - delta
        return w - SERVER_RATE(r) * (0.7 * v - delta if nesterov else v)

    p = everyone(N) if clients == N else drawn((1.0,) * N, clients, "uniform", "sampled")
    assert_serves(models, rounds(problem, x.mean(axis=0), 5, p, server))


def test_without_momentum_it_is_fed_avg() -> None:
    problem = least_squares(N)
    first, second = (
        run(method, ring(N), problem, starts(problem), STEPS).models
        for method in (FedAvgM(RATE, 1.0, 5, 3, momentum=0.0), FedAvg(RATE, 1.0, 5, 3))
    )
    assert (first == second).all()


@pytest.mark.parametrize(("b1", "tau", "v0"), [(0.0, 1e-3, 0.0), (0.6, 0.1, 0.01)])
def test_adagrad(b1: float, tau: float, v0: float) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = FedAdagrad(RATE, 0.1, 5, 2, beta1=b1, tau=tau, second_moment=v0)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    m, v = np.zeros(problem.d), np.full(problem.d, v0)

    def server(w: Array, delta: Array, r: int) -> Array:
        nonlocal m, v
        m, v = b1 * m + (1 - b1) * delta, v + delta**2
        return w + 0.1 * m / (np.sqrt(v) + tau)

    assert_serves(models, rounds(problem, x.mean(axis=0), 5, drawn((1.0,) * N, 2, "uniform", "sampled"), server))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (FedAvgM, {"momentum": 1.0}, "momentum = 1.0 "),
        (FedAvgM, {"momentum": 0.0, "nesterov": True}, "nesterov = True "),
        (FedAdagrad, {"beta1": 1.0}, "beta1 = 1.0 "),
        (FedAdagrad, {"tau": 0.0}, "tau = 0.0 "),
        (FedAdagrad, {"second_moment": -1.0}, "second_moment = -1.0 "),
    ],
    ids=["momentum", "nesterov", "beta1", "tau", "second-moment"],
)
def test_refusals(kind: type, options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind.__name__}: {says}"):
        kind(**options)
