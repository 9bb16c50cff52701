"""Nesterov's momentum against its equations, and against torch's."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import SGD, DecentralizedSGD, NesterovMomentum, StepDecay
from tests.algorithms.helpers import least_squares, run, starts
from topologies import ring

RATE = StepDecay(lr=0.03, milestones=(40, 41, 80), factor=0.3)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_literal_equations(decay: float) -> None:
    problem = least_squares(13)
    algorithm = DecentralizedSGD(lr=RATE, period=10**9, optimizer=NesterovMomentum(0.8, decay))
    ran = run(algorithm, ring(13), problem, starts(problem), 200)
    X, V = starts(problem), np.zeros((13, 5))
    models = [X]
    for t in range(200):
        Z = X + 0.8 * V
        V = 0.8 * V - RATE(t) * (problem.gradient(Z) + decay * Z)
        X = X + V
        models.append(X)
    assert np.abs(ran.models - np.stack(models)).max() <= 1e-10


def test_with_a_constant_learning_rate_gradients_are_where_torch_has_them() -> None:
    problem = least_squares(8)
    points = [
        run(DecentralizedSGD(lr=0.02, optimizer=optimizer), ring(8), problem, starts(problem), 100).points
        for optimizer in (NesterovMomentum(0.9), SGD(0.9, nesterov=True))
    ]
    np.testing.assert_allclose(*points, atol=1e-12)


def test_without_momentum_it_is_sgd_to_the_last_bit() -> None:
    problem = least_squares(8)
    models = [
        run(DecentralizedSGD(lr=0.02, optimizer=optimizer), ring(8), problem, starts(problem), 20).models
        for optimizer in (NesterovMomentum(0.0, 0.1), SGD(weight_decay=0.1))
    ]
    np.testing.assert_array_equal(*models)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="NesterovMomentum: momentum = 1 "):
        NesterovMomentum(1)
    with pytest.raises(ValueError, match="NesterovMomentum: weight_decay = -1 "):
        NesterovMomentum(weight_decay=-1)
