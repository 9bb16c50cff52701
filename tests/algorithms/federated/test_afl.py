"""Agnostic federated learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from algorithms import AFL, Delivery, FedAvg
from tests.algorithms.federated.literal import RATE, SERVER_RATE, STEPS, sample_at, started
from tests.algorithms.helpers import Array, LeastSquares, least_squares, starts

N = 4


def trained(algorithm: Any, problem: LeastSquares, steps: int) -> Array:
    """(steps + 1, d): the server's models."""
    state, network = started(algorithm, problem, starts(problem))
    models = [state.server[-1].numpy().copy()]
    for _ in range(steps):
        algorithm.advance(state, sample_at(problem, state.x), network)
        models.append(state.server[-1].numpy().copy())
    return np.stack(models)


def losses(problem: LeastSquares, w: Array) -> Array:
    return ((problem.A @ w - problem.b) ** 2).mean(axis=1) / 2


def projected(z: Array) -> Array:
    """On the simplex, by bisection for the threshold."""
    low, high = z.min() - 1, z.max()
    for _ in range(200):
        theta = (low + high) / 2
        low, high = (theta, high) if np.maximum(z - theta, 0).sum() > 1 else (low, theta)
    return np.maximum(z - theta, 0)


@pytest.mark.parametrize("server", ["node", "replicated"])
@pytest.mark.parametrize("H", [1, 5])
def test_literal_equations(H: int, server: Any) -> None:
    problem = least_squares(N)
    w, mixture = starts(problem).mean(axis=0), np.full(N, 1 / N)
    models, mixtures = [w], []
    for r in range(STEPS // H):
        U = np.tile(w, (N, 1))
        for t in range(r * H, (r + 1) * H):
            U = U - RATE(t) * problem.gradient(U)
        models += [w] * (H - 1)
        F = losses(problem, w)
        w = w - SERVER_RATE(r) * mixture @ (w - U)
        mixture = projected(mixture + 0.05 * F)
        mixtures.append(mixture)
        models.append(w)
    found = trained(AFL(RATE, SERVER_RATE, H, mixture_lr=0.05, server=server), problem, STEPS)
    assert np.abs(found - np.stack(models)).max() <= 1e-10
    assert np.min(mixtures) == 0.0 and np.ptp(mixtures, axis=0).max() > 0.1


def test_it_ends_with_the_least_largest_loss() -> None:
    problem = least_squares(N)
    best = minimize(
        lambda z: z[-1],
        np.append(problem.optimum, 10.0),
        constraints={"type": "ineq", "fun": lambda z: z[-1] - losses(problem, z[:-1])},
        options={"ftol": 1e-12},
    ).fun
    fair = losses(problem, trained(AFL(0.05, local_steps=1, mixture_lr=0.03), problem, 2000)[-1]).max()
    usual = losses(problem, trained(FedAvg(0.05, local_steps=1), problem, 1000)[-1]).max()
    assert best - 1e-6 < fair < best * 1.001 and usual > best * 1.05


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mixture_lr": 0.0}, "mixture_lr = 0.0 is not allowed; it must be > 0"),
        ({"participation": 2}, "it must be left out: all losses must be known"),
        ({"participation": 0.5}, "it must be left out: all losses must be known"),
        ({"sampling": "independent"}, "it must be left out: everyone takes part"),
        ({"weighting": "all"}, "it must be left out: clients count by their losses"),
        ({"weights": (1.0, 2.0)}, "it must be left out: clients count by their losses"),
        ({"delivery": Delivery(dropout=0.1)}, "it must be left out: all losses must be known"),
    ],
)
def test_what_does_not_go_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        AFL(**given)
