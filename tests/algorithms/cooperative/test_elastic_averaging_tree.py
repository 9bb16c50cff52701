"""Hierarchical elastic averaging against a literal transcription, and its stable range on a quadratic."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import elastic_averaging_sgd
from tests.algorithms.helpers import Array, LeastSquares, least_squares, run
from topologies import elastic_averaging_tree


def with_anchors(problem: LeastSquares, v: int) -> LeastSquares:
    """The same with nodes that have no gradient."""
    none = np.zeros((v, *problem.A.shape[1:]))
    return LeastSquares(np.concatenate([problem.A, none]), np.concatenate([problem.b, none[..., 0]]))


def transcription(problem: LeastSquares, x: Array, groups: list[range], a: float, b: float, tau: int, up: int) -> Array:
    """All iterates, with an anchor z_g for each group and a root r."""
    m = problem.n
    x, z, r = x[:m], x[m:-1], x[-1]
    iterates = [np.concatenate([x, z, r[None]])]
    for t in range(200):
        x = x - 0.02 * problem.gradient(x)
        if (t + 1) % (tau * up) == 0:
            z, r = z - b * (z - r), r + b * sum(each - r for each in z)
        elif (t + 1) % tau == 0:
            new, anchors = x.copy(), z.copy()
            for g, group in enumerate(groups):
                for i in group:
                    new[i] = x[i] - a * (x[i] - z[g])
                    anchors[g] += a * (x[i] - z[g])
            x, z = new, anchors
        iterates.append(np.concatenate([x, z, r[None]]))
    return np.stack(iterates)


@pytest.mark.parametrize(("tau", "up"), [(1, 2), (2, 3)])
def test_against_the_equations(tau: int, up: int) -> None:
    problem = least_squares(8)
    x = np.random.default_rng(2).normal(size=(12, 5))
    groups = [range(3), range(3, 6), range(6, 8)]
    tree = elastic_averaging_tree(12, 3, root_every=up)
    ran = run(elastic_averaging_sgd(0.02, tau, auxiliary=4), tree, with_anchors(problem, 4), x, 200)
    assert np.abs(ran.models - transcription(problem, x, groups, 2 / 5, 2 / 5, tau, up)).max() <= 1e-10
    # Of 200 / tau rounds, two messages on each edge in use.
    rounds = 200 // tau
    assert ran.messages.sum() == 2 * (8 * (rounds - rounds // up) + 3 * (rounds // up))


@pytest.mark.parametrize("lr", [0.1, 1.0, 1.9])
def test_it_is_stable_where_gradient_steps_and_averages_are(lr: float) -> None:
    """Along curvature 1: both are contractions, for lr < 2 and in the range of the tree's alphas."""
    problem = with_anchors(LeastSquares(np.ones((8, 1, 1)), np.zeros((8, 1))), 3)
    for alpha in (2 / 6, 0.95 * 2 / 5):
        tree = elastic_averaging_tree(11, 2, alpha, 0.95 * 2 / 3)
        assert (
            np.abs(run(elastic_averaging_sgd(lr, auxiliary=3), tree, problem, np.ones((11, 1)), 1000).final).max()
            < 1e-6
        )
    diverged = run(elastic_averaging_sgd(2.2, auxiliary=3), tree, problem, np.ones((11, 1)), 300).final
    assert np.abs(diverged).max() > 1e6
