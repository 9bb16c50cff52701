"""FedNova, and clients that make some of the iterations of a round only."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import SGD, FedAvg, FedNova, FedProx, ResidualSGD, Scaffold
from tests.algorithms.federated.literal import RATE, SERVER_RATE, STEPS, assert_serves, drawn, everyone
from tests.algorithms.helpers import Array, LeastSquares, distance, least_squares, run, same_curvature, starts
from topologies import ring

N = 6
SIZES = (3.0, 1.0, 4.0, 1.0, 5.0, 9.0)
CLIENT_STEPS = (1, 5, 2, 3, 5, 1)


def literal(problem: LeastSquares, w: Array, weights: Array, normalised: bool, mu: float = 0.0) -> Array:
    """(steps + 1, d) with rounds of 5 iterations; weights (rounds, K)."""
    models, U = [w], np.tile(w, (N, 1))
    for t in range(STEPS):
        G = problem.gradient(U) + mu * (U - w)
        for k in range(N):
            if t % 5 < CLIENT_STEPS[k]:
                U[k] = U[k] - RATE(t) * G[k]
        if (t + 1) % 5 == 0:
            p = weights[t // 5]
            if normalised:
                effective = sum(p[k] * CLIENT_STEPS[k] for k in range(N))
                move = effective * sum(p[k] * (w - U[k]) / CLIENT_STEPS[k] for k in range(N))
            else:
                move = sum(p[k] * (w - U[k]) for k in range(N))
            w = w - SERVER_RATE(t // 5) * move
            U = np.tile(w, (N, 1))
        models.append(w)
    return np.stack(models)


@pytest.mark.parametrize("clients", [2, N])
@pytest.mark.parametrize(("kind", "options"), [(FedNova, {}), (FedAvg, {}), (FedProx, {"mu": 0.3})])
def test_literal_equations(kind: type, options: dict[str, float], clients: int) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = kind(RATE, SERVER_RATE, 5, clients, weights=SIZES, client_steps=CLIENT_STEPS, **options)
    weights = drawn(SIZES, clients, "uniform", "sampled")
    p = np.stack([weights(r) for r in range(STEPS // 5)])
    wanted = literal(problem, x.mean(axis=0), p, kind is FedNova, **options)
    assert_serves(run(algorithm, ring(N), problem, x, STEPS).models, wanted)


def test_equal_numbers_of_steps_make_fed_avg_of_it() -> None:
    problem = least_squares(N)
    for steps in (None, (3,) * N):
        nova, average = (
            run(kind(0.05, local_steps=3, participation=2, client_steps=steps), ring(N), problem, starts(problem), 60)
            for kind in (FedNova, FedAvg)
        )
        np.testing.assert_allclose(nova.models, average.models, atol=1e-12)


def test_fed_avg_favours_who_makes_more_steps_and_fed_nova_does_not() -> None:
    """With small steps the limit of FedAvg has the weights p_k tau_k, that of FedNova p_k."""
    problem = same_curvature(N, 1.0)
    finals = [
        run(kind(5e-3, local_steps=5, client_steps=CLIENT_STEPS), ring(N), problem, starts(problem), 2000).final
        for kind in (FedAvg, FedNova)
    ]
    shares = np.array(CLIENT_STEPS) / sum(CLIENT_STEPS)
    favoured = shares @ (problem.slopes / 1.0)
    assert np.abs(finals[0] - favoured).max() < 2e-2 < distance(finals[0], problem.optimum)
    assert distance(finals[1], problem.optimum) < 2e-2
    assert np.allclose(everyone(N)(0), 1 / N)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"FedNova: optimizer = .* SGD without momentum"):
        FedNova(optimizer=SGD(0.5))
    with pytest.raises(ValueError, match=r"Scaffold: client_steps = .* all clients make as many steps"):
        Scaffold(client_steps=CLIENT_STEPS)
    with pytest.raises(ValueError, match=r"FedAvg: client_steps = .* whose models are not where gradients are taken"):
        FedAvg(optimizer=ResidualSGD(), client_steps=CLIENT_STEPS)
