"""EXTRA and PG-EXTRA."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import L1, Extra, LearningRate, PgExtra, Sample, StepDecay
from tests.algorithms.helpers import (
    RATES,
    UNDIRECTED,
    assert_follows,
    distance,
    least_squares,
    network_of,
    pair,
    run,
    same_curvature,
    soft_threshold,
    starts,
)
from topologies import Topology, ring

WEIGHT = 0.3


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_trajectory(lr: float | LearningRate, topology: Topology) -> None:
    def equations(X, gradient, W, rate, steps):
        identity = np.eye(len(X))
        W_bar = (identity + W(0)) / 2
        models, moves = [X], []
        for k in range(steps):
            moves.append(rate(k) * gradient(models[-1]))
            if k == 0:
                models.append(W(0) @ X - moves[0])
            else:
                models.append((identity + W(0)) @ models[-1] - W_bar @ models[-2] - (moves[-1] - moves[-2]))
        return np.stack(models)

    assert_follows(Extra(lr=lr), topology, equations)


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_trajectory_with_a_regularizer(lr: float | LearningRate, topology: Topology) -> None:
    def equations(X, gradient, W, rate, steps):
        W_bar = (np.eye(len(X)) + W(0)) / 2
        models, moves = [X], []
        Z = X
        for k in range(steps):
            moves.append(rate(k) * gradient(models[-1]))
            Z = W(0) @ models[-1] - moves[-1] + (Z - W_bar @ models[-2] + moves[-2] if k else 0)
            models.append(soft_threshold(Z, rate(k) * WEIGHT))
        return np.stack(models)

    assert_follows(PgExtra(lr=lr, prox=L1(weight=WEIGHT)), topology, equations)


@pytest.mark.parametrize("topology", [ring(8), UNDIRECTED["erdos_renyi-13"]], ids=str)
def test_reaches_the_optimum(topology: Topology) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    assert distance(run(Extra(lr=0.1), topology, problem, x, 1500).final, problem.optimum) <= 1e-8
    composite = run(PgExtra(lr=0.1, prox=L1(weight=WEIGHT)), topology, problem, x, 1500).final
    assert distance(composite, problem.composite_optimum(WEIGHT)) <= 1e-8


def test_reaches_it_after_the_learning_rate_has_dropped() -> None:
    problem = least_squares(8)
    algorithm = PgExtra(lr=StepDecay(lr=0.1, milestones=(30, 60), factor=0.5), prox=L1(weight=WEIGHT))
    final = run(algorithm, ring(8), problem, starts(problem), 2000).final
    assert distance(final, problem.composite_optimum(WEIGHT)) <= 1e-8


def test_without_a_regularizer_pg_extra_is_extra() -> None:
    problem = least_squares(13)
    wanted = run(Extra(lr=0.05), ring(13), problem, starts(problem), 50).models
    for prox in (None, L1(weight=0.0)):
        got = run(PgExtra(lr=0.05, prox=prox), ring(13), problem, starts(problem), 50).models
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("eigenvalue", [-1.0, -0.5, 0.0, 0.7])
def test_the_range_of_the_learning_rate(eigenvalue: float) -> None:
    edge = (5 + 3 * eigenvalue) / 4
    problem = same_curvature(2, 1.0)
    finals = [
        run(Extra(lr=lr), pair(eigenvalue), problem, starts(problem), 3000).final for lr in (edge - 0.02, edge + 0.02)
    ]
    assert distance(finals[0], problem.optimum) <= 1e-8
    assert distance(finals[1], problem.optimum) > 1e3


def test_the_corrections_add_up_to_zero() -> None:
    problem = least_squares(13)
    algorithm = PgExtra(lr=StepDecay(lr=0.1, milestones=(20,)), prox=L1(weight=WEIGHT))
    network = network_of(ring(13))
    state = algorithm.start(torch.from_numpy(starts(problem)), network)
    for _ in range(50):
        gradient = torch.from_numpy(problem.gradient(state.x.numpy()))
        algorithm.advance(state, Sample(gradient, torch.zeros(13)), network)
        assert state.correction.mean(dim=0).abs().max() <= 1e-14
    assert state.correction.abs().max() > 0.01


def test_sends_one_vector_a_round() -> None:
    problem = least_squares(13, d=11)
    for algorithm in (Extra(), PgExtra()):
        result = run(algorithm, ring(13), problem, starts(problem), 9)
        assert result.messages.tolist() == [18] * 13
        assert result.bytes.tolist() == [18 * 88] * 13
