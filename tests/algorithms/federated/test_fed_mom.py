"""FedMom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import FedAvg, FedMom
from tests.algorithms.federated.literal import (
    RATE,
    SERVER_RATE,
    STEPS,
    Weights,
    assert_serves,
    drawn,
    everyone,
    rounds,
)
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, run, starts
from topologies import ring

N = 6
BETA = 0.8


def fed_mom(problem: LeastSquares, w: Array, local_steps: int, p: Weights) -> Array:
    v = [w]

    def server(w: Array, delta: Array, r: int) -> Array:
        v.append(w + SERVER_RATE(r) * delta)
        return v[-1] + BETA * (v[-1] - v[-2])

    return rounds(problem, w, local_steps, p, server)


@pytest.mark.parametrize("local_steps", [1, 5])
@pytest.mark.parametrize(("participation", "clients"), [(1.0, N), (0.34, 2)])
def test_literal_equations(participation: float, clients: int, local_steps: int) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = FedMom(RATE, SERVER_RATE, local_steps, participation, momentum=BETA)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    p = everyone(N) if clients == N else drawn((1.0,) * N, clients, "uniform", "all")
    assert_serves(models, fed_mom(problem, x.mean(axis=0), local_steps, p))


def server_of_torch(problem: LeastSquares, nesterov: bool) -> Array:
    """(steps + 1, d): torch.optim.SGD fed with the pseudo-gradient."""
    w = torch.tensor(common(problem)[0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.3, momentum=BETA, nesterov=nesterov)

    def server(now: Array, delta: Array, r: int) -> Array:
        assert np.array_equal(now, w.detach().numpy())
        w.grad = torch.tensor(-delta)
        optimizer.step()
        return w.detach().numpy().copy()

    return rounds(problem, w.detach().numpy().copy(), 5, everyone(N), server)


def test_it_is_nesterov_of_torch_and_not_heavy_ball() -> None:
    problem = least_squares(N)
    algorithm = FedMom(RATE, 1.3, 5, momentum=BETA)
    models = run(algorithm, ring(N), problem, common(problem), STEPS).models[:, 0]
    assert np.abs(models - server_of_torch(problem, nesterov=True)).max() <= 1e-12
    assert np.abs(models - server_of_torch(problem, nesterov=False)).max() > 1e-2  # FedAvgM


def test_without_momentum_it_is_fed_avg() -> None:
    problem = least_squares(N)
    options = {"lr": RATE, "server_lr": SERVER_RATE, "local_steps": 5, "participation": 2, "weighting": "all"}
    got, wanted = (
        run(each, ring(N), problem, starts(problem), STEPS).models
        for each in (FedMom(momentum=0.0, **options), FedAvg(**options))  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(got, wanted)


def test_one_local_step_of_everyone_is_nesterovs_gradient_descent() -> None:
    problem = least_squares(N)
    y = w = common(problem)[0]
    models = run(FedMom(0.1, 0.5, 1, momentum=BETA), ring(N), problem, common(problem), 100).models
    for t in range(100):
        y, before = w - 0.05 * problem.gradient(np.tile(w, (N, 1))).mean(axis=0), y
        w = y + BETA * (y - before)
        assert np.abs(models[t + 1] - w).max() <= 1e-12


def test_the_absent_vote_for_w() -> None:
    problem = least_squares(N)
    x = common(problem)
    options = {"lr": 0.05, "local_steps": 4, "participation": 2}
    absent = run(FedMom(**options), ring(N), problem, x, 4).final  # type: ignore[arg-type]
    usual = run(FedMom(**options, weighting="sampled"), ring(N), problem, x, 4).final  # type: ignore[arg-type]
    np.testing.assert_allclose(absent - x, (usual - x) * 2 / N, rtol=1e-10)
    made_up = run(FedMom(**options, server_lr=N / 2), ring(N), problem, x, 4).final  # type: ignore[arg-type]
    np.testing.assert_allclose(made_up, usual, rtol=1e-12)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_refusals(momentum: float) -> None:
    with pytest.raises(ValueError, match=f"^FedMom: momentum = {momentum} "):
        FedMom(momentum=momentum)
