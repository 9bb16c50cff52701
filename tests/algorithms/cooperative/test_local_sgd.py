"""Local SGD, post-local SGD and SlowMo against literal transcriptions."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import LocalSGD, StepDecay
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, run, starts
from topologies import ring

STEPS = 100
DECAY = StepDecay(lr=0.05, milestones=(30, 61), factor=0.3)


def rate(k: int) -> float:
    return 0.05 if k < 30 else 0.015 if k < 61 else 0.0045


def local_sgd(problem: LeastSquares, X: Array, averages: list[int], beta: float, nesterov: bool, reset: bool) -> Array:
    """Averages after these iterations, by J = 11^T / n."""
    J = np.full((problem.n, problem.n), 1 / problem.n)
    V = np.zeros_like(X)
    models = [X]
    for k in range(STEPS):
        G = problem.gradient(X)
        V = beta * V + G
        X = X - rate(k) * (G + beta * V if nesterov else V)
        if k in averages:
            X = J @ X
            if reset:
                V = 0 * V
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("n", [1, 8, 13])
@pytest.mark.parametrize(("period", "switch"), [(1, 0), (7, 0), (4, 10)])
@pytest.mark.parametrize(
    ("momentum", "nesterov", "reset"), [(0.0, False, False), (0.8, False, True), (0.8, True, False)]
)
def test_local_sgd(n: int, period: int, switch: int, momentum: float, nesterov: bool, reset: bool) -> None:
    problem = least_squares(n)
    x = starts(problem)
    averages = [*range(switch), *range(switch + period - 1, STEPS, period)]
    algorithm = LocalSGD(DECAY, period, momentum, nesterov, reset, switch)
    models = run(algorithm, ring(n), problem, x, STEPS).models
    assert np.abs(models - local_sgd(problem, x, averages, momentum, nesterov, reset)).max() <= 1e-10


@pytest.mark.parametrize(("slow_momentum", "slow_lr"), [(0.5, 1.0), (0.6, 0.7), (0.0, 0.5)])
def test_slow_momentum(slow_momentum: float, slow_lr: float) -> None:
    problem = least_squares(8)
    x = common(problem)
    outer, u, models = x[0], np.zeros(5), [x]
    for k in range(0, STEPS, 5):
        local = np.tile(outer, (8, 1))
        for t in range(k, k + 5):
            local = local - rate(t) * problem.gradient(local)
            models.append(local)
        u = slow_momentum * u + (outer - local.mean(axis=0)) / rate(k + 4)
        outer = outer - slow_lr * rate(k + 4) * u
        models[-1] = np.tile(outer, (8, 1))
    algorithm = LocalSGD(DECAY, 5, slow_momentum=slow_momentum, slow_lr=slow_lr)
    assert np.abs(run(algorithm, ring(8), problem, x, STEPS).models - np.stack(models)).max() <= 1e-10


def test_each_averaging_is_a_vector_up_and_one_down_the_tree() -> None:
    problem = least_squares(8)
    ran = run(LocalSGD(0.01, 4, switch=2), ring(8), problem, common(problem), 10)
    assert ran.rounds == 4  # after iterations 0, 1, 5 and 9
    assert ran.messages.sum() == 4 * 2 * 7 and ran.bytes.sum() == 4 * 2 * 7 * 5 * 8


def test_refusals() -> None:
    for options, name in (
        ({"period": 0}, "period"),
        ({"switch": -1}, "switch"),
        ({"reset_momentum": True}, "reset_momentum"),
        ({"slow_momentum": 1.0}, "slow_momentum"),
        ({"slow_lr": 0.0}, "slow_lr"),
        ({"nesterov": True}, "nesterov"),
    ):
        with pytest.raises(ValueError, match=f"LocalSGD: {name} = .* is not allowed; it must be"):
            LocalSGD(**options)
