"""SGD with residuals: its literal equations, and what it is for particular values."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import SGD, DecentralizedSGD, ResidualSGD, StepDecay
from tests.algorithms.helpers import Array, LeastSquares, fixed, least_squares, run, starts

STEPS = 100
RATE = StepDecay(lr=0.05, milestones=(40, 41, 80), factor=0.3)
N = 3
APART = fixed(np.eye(N))


def literal(problem: LeastSquares, share: float, lookahead: float, momentum: float, decay: float) -> Array:
    x = starts(problem)
    e, m = np.zeros_like(x), np.zeros_like(x)
    models = [x]
    for t in range(STEPS):
        z = x - lookahead * e
        m = momentum * m + problem.gradient(z) + decay * z
        q = e + RATE(t) * m
        x = x - share * q
        e = (1 - share) * q
        models.append(x)
    return np.stack(models)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("share", "lookahead"), [(0.3, 0.0), (0.3, 0.6), (0.3, 1.0), (1.0, 0.5), (0.05, 1.0)])
def test_literal_equations(share: float, lookahead: float, momentum: float, decay: float) -> None:
    problem = least_squares(N)
    optimizer = ResidualSGD(share, lookahead, momentum, decay)
    models = run(DecentralizedSGD(lr=RATE, optimizer=optimizer), APART, problem, starts(problem), STEPS).models
    assert np.abs(models - literal(problem, share, lookahead, momentum, decay)).max() <= 1e-12


@pytest.mark.parametrize("lookahead", [0.0, 1.0])
def test_all_at_once_is_sgd(lookahead: float) -> None:
    problem = least_squares(N)
    got, wanted = (
        run(DecentralizedSGD(lr=RATE, optimizer=each), APART, problem, starts(problem), STEPS).models
        for each in (ResidualSGD(1.0, lookahead, 0.9), SGD(0.9))
    )
    assert np.abs(got - wanted).max() <= 1e-13


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_looking_ahead_by_all_it_averages_the_iterates_of_sgd(momentum: float) -> None:
    problem = least_squares(N)
    got = run(
        DecentralizedSGD(lr=RATE, optimizer=ResidualSGD(0.2, 1.0, momentum)), APART, problem, starts(problem), STEPS
    )
    explored = run(DecentralizedSGD(lr=RATE, momentum=momentum), APART, problem, starts(problem), STEPS).models
    average = [explored[0]]
    for y in explored[1:]:
        average.append(0.8 * average[-1] + 0.2 * y)
    assert np.abs(got.models - np.stack(average)).max() <= 1e-12
    assert np.abs(got.points - explored).max() <= 1e-12  # x - e is where gradients are taken


def test_refusals() -> None:
    for options, says in (
        ({"share": 0.0}, "share = 0.0 "),
        ({"share": 1.1}, "share = 1.1 "),
        ({"lookahead": -0.1}, "lookahead = -0.1 "),
        ({"momentum": 1.0}, "momentum = 1.0 "),
        ({"weight_decay": -1.0}, "weight_decay = -1.0 "),
    ):
        with pytest.raises(ValueError, match=f"ResidualSGD: {says}"):
            ResidualSGD(**options)
