"""NIDS, with and without a regularizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import L1, ExactDiffusion, LearningRate, Nids, Sample, StepDecay
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
@pytest.mark.parametrize("gamma", [1.0, 0.4])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_trajectory(weight: float | None, gamma: float, lr: float | LearningRate, topology: Topology) -> None:
    def equations(X, gradient, W, rate, steps):
        identity = np.eye(len(X))
        W_tilde = identity - gamma / 2 * (identity - W(0))
        models, moves = [X], []
        Z = X
        for k in range(steps):
            moves.append(rate(k) * gradient(models[-1]))
            if k == 0:
                Z = X - moves[0]
            else:
                Z = Z - models[-1] + W_tilde @ (2 * models[-1] - models[-2] - (moves[-1] - moves[-2]))
            models.append(soft_threshold(Z, rate(k) * weight) if weight else Z)
        return np.stack(models)

    prox = L1(weight=weight) if weight else None
    assert_follows(Nids(lr=lr, gamma=gamma, prox=prox), topology, equations)


@pytest.mark.parametrize("topology", [ring(8), UNDIRECTED["erdos_renyi-13"]], ids=str)
@pytest.mark.parametrize("gamma", [1.0, 0.7])
def test_reaches_the_optimum(gamma: float, topology: Topology) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    final = run(Nids(lr=0.1, gamma=gamma), topology, problem, x, 1500).final
    assert distance(final, problem.optimum) <= 1e-8
    composite = run(Nids(lr=0.1, gamma=gamma, prox=L1(weight=WEIGHT)), topology, problem, x, 1500).final
    assert distance(composite, problem.composite_optimum(WEIGHT)) <= 1e-8


def test_reaches_it_after_the_learning_rate_has_dropped() -> None:
    problem = least_squares(8)
    algorithm = Nids(lr=StepDecay(lr=0.1, milestones=(30, 60), factor=0.5), prox=L1(weight=WEIGHT))
    final = run(algorithm, ring(8), problem, starts(problem), 2000).final
    assert distance(final, problem.composite_optimum(WEIGHT)) <= 1e-8


def test_without_a_regularizer_it_is_exact_diffusion_but_for_the_first_step() -> None:
    problem = least_squares(13)
    first = run(Nids(lr=0.05), ring(13), problem, starts(problem), 1)
    np.testing.assert_allclose(first.final, starts(problem) - 0.05 * problem.gradient(starts(problem)), rtol=1e-14)
    nids, exact = (
        run(method(lr=0.05), ring(13), problem, starts(problem), 100).models for method in (Nids, ExactDiffusion)
    )
    assert np.abs(nids[20] - exact[20]).max() > 1e-3
    # The same recursion: from the same two points on, the same iterates.
    W_bar = (np.eye(13) + ring(13).matrix.toarray()) / 2
    for models in (nids, exact):
        gradients = [problem.gradient(x) for x in models]
        for t in range(1, 100):
            wanted = W_bar @ (2 * models[t] - models[t - 1] - 0.05 * (gradients[t] - gradients[t - 1]))
            np.testing.assert_allclose(models[t + 1], wanted, atol=1e-12)


@pytest.mark.parametrize("eigenvalue", [-1.0, 0.0, 0.9])
def test_the_learning_rate_does_not_depend_on_the_network(eigenvalue: float) -> None:
    problem = same_curvature(2, 1.0)
    finals = [run(Nids(lr=lr), pair(eigenvalue), problem, starts(problem), 3000).final for lr in (1.98, 2.02)]
    assert distance(finals[0], problem.optimum) <= 1e-8
    assert distance(finals[1], problem.optimum) > 1e3


def test_the_corrections_add_up_to_zero() -> None:
    problem = least_squares(13)
    algorithm = Nids(lr=StepDecay(lr=0.1, milestones=(20,)), gamma=0.6, prox=L1(weight=WEIGHT))
    network = network_of(ring(13))
    state = algorithm.start(torch.from_numpy(starts(problem)), network)
    for _ in range(50):
        gradient = torch.from_numpy(problem.gradient(state.x.numpy()))
        algorithm.advance(state, Sample(gradient, torch.zeros(13)), network)
        assert state.correction.mean(dim=0).abs().max() <= 1e-14
    assert state.correction.abs().max() > 0.01


def test_sends_one_vector_a_round_but_none_in_the_first() -> None:
    problem = least_squares(13, d=11)
    result = run(Nids(), ring(13), problem, starts(problem), 9)
    assert result.rounds == 8
    assert result.messages.tolist() == [16] * 13
    assert result.bytes.tolist() == [16 * 88] * 13


def test_refusals() -> None:
    for gamma in (0.0, 1.1, -0.5):
        with pytest.raises(ValueError, match=rf"^Nids: gamma = {gamma} is not allowed; it must be in \(0, 1\]$"):
            Nids(gamma=gamma)
