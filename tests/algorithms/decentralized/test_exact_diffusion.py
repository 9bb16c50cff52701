"""Proximal exact diffusion; without a regularizer it is tested with the first methods."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import L1, ExactDiffusion, LearningRate, Nids, StepDecay
from tests.algorithms.helpers import (
    RATES,
    UNDIRECTED,
    assert_follows,
    distance,
    least_squares,
    run,
    soft_threshold,
    starts,
)
from topologies import Topology, ring

WEIGHT = 0.3


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_trajectory(lr: float | LearningRate, topology: Topology) -> None:
    def equations(X, gradient, W, rate, steps):
        """z+ = W' (z + x - x_old - (lr g - lr_old g_old)), x = prox(z)."""
        W_bar = (np.eye(len(X)) + W(0)) / 2
        models = [X]
        Z, moves = X, []
        for k in range(steps):
            moves.append(rate(k) * gradient(models[-1]))
            Z = W_bar @ (Z - moves[-1] + (models[-1] - models[-2] + moves[-2] if k else 0))
            models.append(soft_threshold(Z, rate(k) * WEIGHT))
        return np.stack(models)

    assert_follows(ExactDiffusion(lr=lr, prox=L1(weight=WEIGHT)), topology, equations)


@pytest.mark.parametrize("topology", [ring(8), UNDIRECTED["erdos_renyi-13"]], ids=str)
def test_reaches_the_composite_optimum(topology: Topology) -> None:
    problem = least_squares(topology.n)
    optimum = problem.composite_optimum(WEIGHT)
    assert (optimum == 0).any()
    final = run(ExactDiffusion(lr=0.1, prox=L1(weight=WEIGHT)), topology, problem, starts(problem), 1500).final
    assert distance(final, optimum) <= 1e-8


def test_reaches_it_after_the_learning_rate_has_dropped() -> None:
    problem = least_squares(8)
    lr = StepDecay(lr=0.1, milestones=(30, 60), factor=0.5)
    final = run(ExactDiffusion(lr=lr, prox=L1(weight=WEIGHT)), ring(8), problem, starts(problem), 2000).final
    assert distance(final, problem.composite_optimum(WEIGHT)) <= 1e-8


def test_without_weight_it_is_exact_diffusion() -> None:
    problem = least_squares(13)
    got, wanted = (
        run(ExactDiffusion(lr=0.05, prox=prox), ring(13), problem, starts(problem), 50).models
        for prox in (L1(weight=0.0), None)
    )
    np.testing.assert_array_equal(got, wanted)


def test_it_is_not_prox_nids() -> None:
    problem = least_squares(13)
    prox = L1(weight=WEIGHT)
    mixed, unmixed = (
        run(method, ring(13), problem, starts(problem), 50).models
        for method in (ExactDiffusion(lr=0.05, prox=prox), Nids(lr=0.05, prox=prox))
    )
    assert np.abs(mixed - unmixed)[20:].max() > 1e-3
