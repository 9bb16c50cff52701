"""FedProx."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import FedAvg, FedProx
from tests.algorithms.federated.literal import RATE, SERVER_RATE, STEPS, assert_serves, drawn, everyone, rounds
from tests.algorithms.helpers import least_squares, run, starts
from topologies import ring

N = 6


@pytest.mark.parametrize("mu", [0.1, 3.0])
@pytest.mark.parametrize("local_steps", [1, 5])
def test_literal_equations(local_steps: int, mu: float) -> None:
    problem = least_squares(N)
    x = starts(problem)
    for clients, sampling in ((N, "uniform"), (3, "proportional")):
        p = everyone(N) if clients == N else drawn((1.0,) * N, clients, sampling, "sampled")
        algorithm = FedProx(RATE, SERVER_RATE, local_steps, clients, sampling, mu=mu)  # type: ignore[arg-type]
        models = run(algorithm, ring(N), problem, x, STEPS).models
        server = lambda w, delta, r: w + SERVER_RATE(r) * delta  # noqa: E731
        assert_serves(models, rounds(problem, x.mean(axis=0), local_steps, p, server, mu=mu))


def test_without_its_term_it_is_fed_avg() -> None:
    problem = least_squares(N)
    got, wanted = (
        run(each, ring(N), problem, starts(problem), STEPS).models
        for each in (
            FedProx(RATE, local_steps=5, participation=3, mu=0.0),
            FedAvg(RATE, local_steps=5, participation=3),
        )
    )
    np.testing.assert_array_equal(got, wanted)


def test_its_term_holds_the_clients_back() -> None:
    problem = least_squares(N)
    bias = []
    for mu in (0.0, 1.0, 10.0):
        final = run(FedProx(0.05, local_steps=20, mu=mu), ring(N), problem, starts(problem), 20 * 80).final
        bias.append(np.abs(final - problem.optimum).max())
    assert bias[0] > 1.1 * bias[1] > 4 * bias[2]


@pytest.mark.parametrize("mu", [-1.0, float("nan"), float("inf")])
def test_refusals(mu: float) -> None:
    with pytest.raises(ValueError, match=f"^FedProx: mu = {mu} "):
        FedProx(mu=mu)
