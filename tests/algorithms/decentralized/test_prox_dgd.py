"""DecentralizedSGD with a regularizer, prox-DGD in the consensus order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import L1, Box, DecentralizedSGD, LearningRate
from tests.algorithms.helpers import (
    ALL,
    RATES,
    assert_follows,
    common,
    distance,
    least_squares,
    run,
    soft_threshold,
    starts,
)
from topologies import complete, ring

WEIGHT = 0.3
ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus")


@pytest.mark.parametrize("name", ["ring-16", "erdos_renyi-13", "exponential-13", "one_peer_exponential-16"])
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("order", ORDERS)
def test_trajectories(order: str, momentum: float, lr: float | LearningRate, name: str) -> None:
    def equations(X, gradient, W, rate, steps):
        models, v = [X], 0.0
        for k in range(steps):
            eta = rate(k)
            if order == "adapt-then-combine":
                v = momentum * v + gradient(X)
                Z = W(k) @ (X - eta * v)
            elif order == "combine-then-adapt":
                Y = W(k) @ X
                v = momentum * v + gradient(Y)
                Z = Y - eta * v
            else:
                v = momentum * v + gradient(X)
                Z = W(k) @ X - eta * v
            X = soft_threshold(Z, eta * WEIGHT)
            models.append(X)
        return np.stack(models)

    algorithm = DecentralizedSGD(lr=lr, order=order, momentum=momentum, prox=L1(weight=WEIGHT))
    assert_follows(algorithm, ALL[name], equations)


def test_on_a_complete_graph_it_is_the_proximal_gradient_method() -> None:
    problem = least_squares(8)
    x = common(problem)
    final = run(DecentralizedSGD(lr=0.1, prox=L1(weight=WEIGHT)), complete(8), problem, x, 600).final
    assert distance(final, problem.composite_optimum(WEIGHT)) <= 1e-10


@pytest.mark.parametrize("order", ORDERS)
def test_elsewhere_it_is_biased(order: str) -> None:
    problem = least_squares(8)
    biases = []
    for lr in (0.02, 0.01):
        algorithm = DecentralizedSGD(lr=lr, order=order, prox=L1(weight=WEIGHT))
        final = run(algorithm, ring(8), problem, starts(problem), 1500).final
        biases.append(distance(final, problem.composite_optimum(WEIGHT)))
    assert biases[1] > 1e-3
    assert 1.5 < biases[0] / biases[1] < 2.5


@pytest.mark.parametrize("order", ORDERS)
def test_every_model_is_feasible(order: str) -> None:
    problem = least_squares(8)
    box = Box(low=-0.1, high=0.2)
    models = run(
        DecentralizedSGD(lr=0.05, order=order, period=3, prox=box), ring(8), problem, starts(problem), 20
    ).models
    assert box.value(torch.from_numpy(models[1:].reshape(-1, problem.d))).eq(0).all()
