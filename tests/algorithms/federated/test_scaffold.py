"""SCAFFOLD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import SGD, AdamW, FedAvg, Scaffold
from tests.algorithms.federated.literal import (
    RATE,
    SERVER_RATE,
    STEPS,
    Weights,
    assert_serves,
    drawn,
    sample_at,
    started,
)
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, run, starts
from topologies import ring

N = 6
SIZES = (3.0, 1.0, 4.0, 1.0, 5.0, 9.0)


def scaffold(
    problem: LeastSquares, w: Array, local_steps: int, p: Weights, q: Array, decay: float = 0.0, steps: int = STEPS
) -> Array:
    """Client by client, with the control variates as means of the gradients that the client used."""
    c, c_k = np.zeros_like(w), [np.zeros_like(w) for _ in range(problem.n)]
    models = [w]
    for r in range(steps // local_steps):
        returned, controls = [], []
        for k in range(problem.n):
            u, used = w, np.zeros_like(w)
            for t in range(r * local_steps, (r + 1) * local_steps):
                gradient = problem.hessians[k] @ u - problem.slopes[k] + decay * u
                used = used + RATE(t) * gradient
                u = u - RATE(t) * (gradient - c_k[k] + c)
            returned.append(u)
            controls.append(used / sum(RATE(t) for t in range(r * local_steps, (r + 1) * local_steps)))
        models += [w] * (local_steps - 1)
        taking_part = [k for k in range(problem.n) if p(r)[k] > 0]
        w = w + SERVER_RATE(r) * sum(p(r)[k] * (returned[k] - w) for k in taking_part)
        c = c + sum(q[k] * (controls[k] - c_k[k]) for k in taking_part)
        for k in taking_part:
            c_k[k] = controls[k]
        models.append(w)
    return np.stack(models)


@pytest.mark.parametrize("local_steps", [1, 5])
@pytest.mark.parametrize("clients", [2, N])
@pytest.mark.parametrize("sizes", [(1.0,) * N, SIZES], ids=["equal", "sizes"])
def test_literal_equations(sizes: tuple[float, ...], clients: int, local_steps: int) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = Scaffold(RATE, SERVER_RATE, local_steps, clients, weights=sizes, optimizer=SGD(weight_decay=0.05))
    models = run(algorithm, ring(N), problem, x, STEPS).models
    q = np.array(sizes) / sum(sizes)
    p = drawn(sizes, clients, "uniform", "sampled")
    assert_serves(models, scaffold(problem, x.mean(axis=0), local_steps, p, q, decay=0.05))


def test_it_reaches_the_optimum_where_fed_avg_does_not() -> None:
    problem = least_squares(N)
    finals = [
        run(method(0.05, local_steps=5), ring(N), problem, starts(problem), 5 * 200).final
        for method in (Scaffold, FedAvg)
    ]
    errors = [np.abs(final - problem.optimum).max() for final in finals]
    assert errors[0] <= 1e-8
    assert errors[1] > 1e-2


def test_it_reaches_the_optimum_with_clients_that_come_and_go() -> None:
    problem = least_squares(N)
    final = run(Scaffold(0.05, local_steps=5, participation=3), ring(N), problem, starts(problem), 5 * 400).final
    assert np.abs(final - problem.optimum).max() <= 1e-8


def test_it_reaches_the_optimum_of_weighted_clients() -> None:
    problem = least_squares(N)
    q = np.array(SIZES) / sum(SIZES)
    optimum = np.linalg.solve(np.einsum("k,kij->ij", q, problem.hessians), q @ problem.slopes)
    final = run(Scaffold(0.05, local_steps=5, weights=SIZES), ring(N), problem, starts(problem), 5 * 400).final
    assert np.abs(final - optimum).max() <= 1e-8
    assert np.abs(optimum - problem.optimum).max() > 1e-2


def test_one_local_step_of_everyone_is_gradient_descent() -> None:
    problem = least_squares(N)
    w = common(problem)[0]
    models = run(Scaffold(0.1, 0.5, 1), ring(N), problem, common(problem), 50).models
    for t in range(50):
        w = w - 0.05 * problem.gradient(np.tile(w, (N, 1))).mean(axis=0)
        assert np.abs(models[t + 1] - w).max() <= 1e-12


@pytest.mark.parametrize("server", ["node", "replicated"])
@pytest.mark.parametrize("participation", [1.0, 2])
def test_the_servers_control_is_the_mean_of_the_clients(participation: float, server: Any) -> None:
    # With all clients because it starts so and all change alike, with some because the others' do not change.
    problem = least_squares(N)
    algorithm = Scaffold(RATE, local_steps=3, participation=participation, server=server)
    state, network = started(algorithm, problem, starts(problem))
    for _ in range(60):
        algorithm.advance(state, sample_at(problem, state.x), network)
        mean = state.control.numpy()[:N].mean(axis=0)
        assert np.abs(state.server_control[-1].numpy() - mean).max() <= 1e-13
    assert np.abs(state.control.numpy()).max() > 0.1


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.5), AdamW()], ids=str)
def test_refusals(optimizer: SGD | AdamW) -> None:
    with pytest.raises(ValueError, match=r"^Scaffold: optimizer = .* must be SGD without momentum"):
        Scaffold(optimizer=optimizer)


def test_it_is_not_fed_avg() -> None:
    problem = least_squares(N)
    first, second = (
        run(method(0.05, local_steps=5), ring(N), problem, common(problem), 20).models for method in (Scaffold, FedAvg)
    )
    np.testing.assert_allclose(first[5], second[5], rtol=1e-12)  # as long as the controls are 0
    assert np.abs(first[10] - second[10]).max() > 1e-3
