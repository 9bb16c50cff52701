"""D2."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from algorithms import D2, ExactDiffusion, LearningRate
from tests.algorithms.helpers import (
    RATES,
    UNDIRECTED,
    Array,
    assert_follows,
    dense,
    distance,
    fixed,
    least_squares,
    pair,
    run,
    same_curvature,
    starts,
)
from topologies import Topology, ring


def lazy(W: Array) -> Topology:
    """(I + W) / 2."""
    return fixed((np.eye(len(W)) + W) / 2)


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_trajectory(lr: float | LearningRate, topology: Topology) -> None:
    def equations(X, gradient, W, rate, steps):
        models, moves = [X], []
        for k in range(steps):
            moves.append(rate(k) * gradient(models[-1]))
            if k == 0:
                models.append(W(0) @ (X - moves[0]))
            else:
                models.append(W(0) @ (2 * models[-1] - models[-2] - (moves[-1] - moves[-2])))
        return np.stack(models)

    assert_follows(D2(lr=lr), topology, equations)


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_exact_diffusion_is_d2_on_the_lazy_matrix(lr: float | LearningRate, topology: Topology) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    exact = run(ExactDiffusion(lr=lr), topology, problem, x, 200).models
    d2 = run(D2(lr=lr), lazy(dense(topology)), problem, x, 200).models
    assert np.abs(exact - d2).max() <= 1e-12


@pytest.mark.parametrize("topology", [ring(13), lazy(dense(ring(16))), ring(8)], ids=str)
def test_reaches_the_optimum(topology: Topology) -> None:
    problem = least_squares(topology.n)
    assert distance(run(D2(lr=0.1), topology, problem, starts(problem), 3000).final, problem.optimum) <= 1e-8


@pytest.mark.parametrize(("lr", "h"), [(0.1, 1.0), (0.2, 1.5), (0.5, 2.0)])
def test_the_threshold_of_the_eigenvalue(lr: float, h: float) -> None:
    threshold = -1 / (3 - 2 * lr * h)
    problem = same_curvature(2, h)
    finals = [
        run(D2(lr=lr), pair(eigenvalue), problem, starts(problem), 2000).final
        for eigenvalue in (threshold + 0.02, threshold - 0.02)
    ]
    assert distance(finals[0], problem.optimum) <= 1e-8
    assert distance(finals[1], problem.optimum) > 1e3


def test_at_the_edge_only_curvature_makes_it_stable() -> None:
    # Without curvature, on the ring of even length whose least eigenvalue is -1/3, a disagreement never dies out.
    problem = same_curvature(8, 1e-12)
    start = np.tile([1.0, -1.0], 4)[:, None] * np.ones(3)
    flat = run(D2(lr=0.1), ring(8), problem, start, 1000).models
    assert np.abs(flat[-2:]).max() > 0.1
    lazily = run(D2(lr=0.1), lazy(dense(ring(8))), problem, start, 1000).models
    assert np.abs(lazily[-2:]).max() <= 1e-8


def test_keeps_the_mean() -> None:
    problem = least_squares(13)
    result = run(D2(lr=0.05), ring(13), problem, starts(problem), 50).models
    for before, after in pairwise(result):
        step = before - 0.05 * problem.gradient(before)
        np.testing.assert_allclose(after.mean(axis=0), step.mean(axis=0), atol=1e-12)


def test_sends_one_vector_a_round() -> None:
    problem = least_squares(13, d=11)
    result = run(D2(), ring(13), problem, starts(problem), 9)
    assert result.messages.tolist() == [18] * 13
    assert result.bytes.tolist() == [18 * 88] * 13
