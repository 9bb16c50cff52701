"""q-FedAvg."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import FedAvg, Federated, QFedAvg
from tests.algorithms.federated.literal import RATE, STEPS, Weights, drawn, sample_at, started
from tests.algorithms.helpers import Array, LeastSquares, least_squares, starts

N = 6


def trained(algorithm: Federated, problem: LeastSquares, steps: int) -> Array:
    """(steps + 1, d): the server's models, of samples that have losses."""
    state, network = started(algorithm, problem, starts(problem))
    models = [state.server[-1].numpy().copy()]
    for _ in range(steps):
        algorithm.advance(state, sample_at(problem, state.x), network)
        network.finish_step()
        models.append(state.server[-1].numpy().copy())
    return np.stack(models)


def losses(problem: LeastSquares, w: Array) -> Array:
    return ((problem.A @ w - problem.b) ** 2).mean(axis=1) / 2


def q_fed_avg(problem: LeastSquares, w: Array, local_steps: int, p: Weights, q: float) -> Array:
    """Client by client, as Algorithm 2 has it."""
    models = [w]
    for r in range(STEPS // local_steps):
        L = 1 / RATE(r * local_steps)
        deltas, h = [], []
        for k in (k for k in range(N) if p(r)[k] > 0):
            u, F = w, losses(problem, w)[k] + 1e-10
            for t in range(r * local_steps, (r + 1) * local_steps):
                u = u - RATE(t) * (problem.hessians[k] @ u - problem.slopes[k])
            deltas.append(F**q * L * (w - u))
            h.append(q * F ** (q - 1) * ((L * (w - u)) ** 2).sum() + L * F**q)
        models += [w] * (local_steps - 1)
        w = w - sum(deltas) / sum(h)
        models.append(w)
    return np.stack(models)


@pytest.mark.parametrize("q", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("clients", [2, N])
def test_literal_equations(clients: int, q: float) -> None:
    problem = least_squares(N)
    models = trained(QFedAvg(RATE, 1.0, 5, clients, q=q), problem, STEPS)
    p = drawn((1.0,) * N, clients, "uniform", "sampled")
    wanted = q_fed_avg(problem, starts(problem).mean(axis=0), 5, p, q)
    assert np.abs(models - wanted).max() <= 1e-10 and np.abs(wanted[-1] - wanted[0]).max() > 0.01


def test_with_q_0_it_is_fed_avg() -> None:
    problem = least_squares(N)
    first, second = (
        trained(method, problem, STEPS) for method in (QFedAvg(RATE, 1.0, 5, 3, q=0.0), FedAvg(RATE, 1.0, 5, 3))
    )
    assert np.abs(first - second).max() <= 1e-12


def test_the_largest_loss_is_smaller_the_larger_q_is() -> None:
    problem = least_squares(N)
    largest = []
    for q in (0.0, 1.0, 5.0):
        final = trained(QFedAvg(0.05, 1.0, 1, q=q), problem, 800)[-1]
        largest.append(losses(problem, final).max())
    assert largest[0] > 1.02 * largest[1] and largest[1] > 1.02 * largest[2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"q": -1.0}, "q = -1.0 "),
        ({"weights": "examples"}, "weights = 'examples' "),
        ({"weighting": "all"}, "weighting = 'all' "),
        ({"sampling": "proportional"}, "sampling = 'proportional' "),
    ],
    ids=["q", "weights", "weighting", "sampling"],
)
def test_refusals(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^QFedAvg: {says}"):
        QFedAvg(**options)
