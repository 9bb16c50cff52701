"""FedDyn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import FedAvg, FedDyn
from tests.algorithms.federated.literal import RATE, STEPS, Weights, assert_serves, drawn, sample_at, started
from tests.algorithms.helpers import Array, LeastSquares, least_squares, run, starts
from topologies import ring

N = 6


def fed_dyn(problem: LeastSquares, w: Array, local_steps: int, p: Weights, alpha: float) -> Array:
    """Client by client, as Algorithm 1 has it."""
    h, models = np.zeros_like(w), [w]
    gradients = [np.zeros_like(w) for _ in range(N)]
    for r in range(STEPS // local_steps):
        taking_part = [k for k in range(N) if p(r)[k] > 0]
        theta = {}
        for k in taking_part:
            u = w
            for t in range(r * local_steps, (r + 1) * local_steps):
                gradient = problem.hessians[k] @ u - problem.slopes[k]
                u = u - RATE(t) * (gradient - gradients[k] + alpha * (u - w))
            gradients[k] = gradients[k] - alpha * (u - w)
            theta[k] = u
        models += [w] * (local_steps - 1)
        if taking_part:
            h = h - alpha / N * sum(theta[k] - w for k in taking_part)
            w = sum(theta.values()) / len(taking_part) - h / alpha
        models.append(w)
    return np.stack(models)


@pytest.mark.parametrize("local_steps", [1, 5])
@pytest.mark.parametrize(("clients", "sampling"), [(2, "uniform"), (N, "uniform"), (2, "independent")])
def test_literal_equations(clients: int, sampling: Any, local_steps: int) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = FedDyn(RATE, local_steps, clients, sampling, alpha=0.5)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    p = drawn((1.0,) * N, clients, sampling, "sampled")
    assert_serves(models, fed_dyn(problem, x.mean(axis=0), local_steps, p, 0.5))


@pytest.mark.parametrize("clients", [3, N])
def test_it_reaches_the_optimum_where_fed_avg_does_not(clients: int) -> None:
    problem = least_squares(N)
    finals = [
        run(method, ring(N), problem, starts(problem), 5 * 600).final
        for method in (FedDyn(0.05, 5, clients, alpha=1.0), FedAvg(0.05, 1.0, 5, clients))
    ]
    errors = [np.abs(final - problem.optimum).max() for final in finals]
    assert errors[0] <= 1e-6
    assert errors[1] > 1e-2


@pytest.mark.parametrize("server", ["node", "replicated"])
def test_what_the_server_has_is_the_mean_of_what_the_clients_have(server: Any) -> None:
    problem = least_squares(N)
    algorithm = FedDyn(RATE, local_steps=3, participation=2, server=server)
    state, network = started(algorithm, problem, starts(problem))
    for _ in range(60):
        algorithm.advance(state, sample_at(problem, state.x), network)
        assert np.abs(state.server_linear[-1].numpy() - state.linear.numpy()[:N].mean(axis=0)).max() <= 1e-12
    assert np.abs(state.linear.numpy()).max() > 0.01


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alpha": 0.0}, "alpha = 0.0 "),
        ({"weights": "examples"}, "weights = 'examples' "),
        ({"weighting": "all"}, "weighting = 'all' "),
        ({"sampling": "proportional"}, "sampling = 'proportional' "),
    ],
    ids=["alpha", "weights", "weighting", "sampling"],
)
def test_refusals(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^FedDyn: {says}"):
        FedDyn(**options)
