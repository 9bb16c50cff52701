"""RelaySGD."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Literal

import networkx as nx
import numpy as np
import pytest

from algorithms import DecentralizedSGD, LearningRate, RelaySGD, StepDecay
from tests.algorithms.helpers import Array, common, least_squares, run, starts
from topologies import Topology, complete, path, star

STEPS = 100
DECAY = StepDecay(lr=0.03, milestones=(20, 90), factor=0.3)
TREES = {
    "path-9": path(9),
    "path-2": path(2),
    "star-8": star(8),
    "binary-11": Topology(nx.full_rary_tree(2, 11), "push"),
    "random-13": Topology(nx.random_labeled_tree(13, seed=3)),
    "single": path(1),
}


def transcription(
    X: Array,
    gradient: Callable[[Array], Array],
    graph: nx.Graph,
    rate: Callable[[int], float],
    steps: int,
    beta: float = 0.0,
    nesterov: bool = False,
    unheard: str = "own",
) -> Array:
    """One message and one count for each direction of each edge."""
    n, first = len(X), X
    message = {(i, j): np.zeros(X.shape[1]) for a, b in graph.edges for i, j in ((a, b), (b, a))}
    count = dict.fromkeys(message, 0)
    u = np.zeros_like(X)
    models = [X]
    for t in range(steps):
        g = gradient(X)
        u = beta * u + g
        y = X - rate(t) * (g + beta * u if nesterov else u)
        message = {(i, j): y[i] + sum(message[k, i] for k in graph.neighbors(i) if k != j) for i, j in message}
        count = {(i, j): 1 + sum(count[k, i] for k in graph.neighbors(i) if k != j) for i, j in count}
        X = np.stack(
            [
                (
                    y[i]
                    + (n - 1 - sum(count[k, i] for k in graph.neighbors(i))) * (y if unheard == "own" else first)[i]
                    + sum(message[k, i] for k in graph.neighbors(i))
                )
                / n
                for i in range(n)
            ]
        )
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("topology", TREES.values(), ids=TREES)
@pytest.mark.parametrize(
    ("lr", "rate", "momentum", "nesterov"),
    [(0.02, lambda t: 0.02, 0.0, False), (DECAY, DECAY, 0.5, False), (DECAY, DECAY, 0.5, True)],
    ids=["plain", "heavy-ball", "nesterov"],
)
@pytest.mark.parametrize("unheard", ["own", "start"])
def test_transcription(
    lr: float | LearningRate,
    rate: Callable[[int], float],
    momentum: float,
    nesterov: bool,
    topology: Topology,
    unheard: Literal["own", "start"],
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(RelaySGD(lr, momentum, nesterov, unheard), topology, problem, x, STEPS)
    wanted = transcription(x, problem.gradient, topology.graph, rate, STEPS, momentum, nesterov, unheard)
    assert np.abs(got.models - wanted).max() <= 1e-10
    np.testing.assert_array_equal(got.models, got.points)


@pytest.mark.parametrize("name", ["path-9", "star-8", "random-13", "path-2"])
def test_after_warm_up_the_models_are_averages_of_delayed_ones(name: str) -> None:
    topology = TREES[name]
    n = topology.n
    problem = least_squares(n)
    models = run(RelaySGD(lr=0.02), topology, problem, starts(problem), 60).models
    y = np.stack([X - 0.02 * problem.gradient(X) for X in models])
    distance = dict(nx.all_pairs_shortest_path_length(topology.graph))
    width = nx.diameter(topology.graph)
    for t in range(60):
        for i in range(n):
            # What has arrived by now, and the node's own model for the rest.
            delays = [max(distance[i][j] - 1, 0) for j in range(n)]
            terms = [y[t - delay, j] if delay <= t else y[t, i] for j, delay in enumerate(delays)]
            np.testing.assert_allclose(models[t + 1, i], np.mean(terms, axis=0), rtol=0, atol=1e-12)
        assert (t < width - 1) == any(max(distance[i][j] - 1, 0) > t for i in range(n) for j in range(n))


def test_two_nodes_average_exactly_in_every_step() -> None:
    problem = least_squares(2)
    got = run(RelaySGD(lr=DECAY, momentum=0.5), path(2), problem, starts(problem), STEPS).models
    wanted = run(DecentralizedSGD(lr=DECAY, momentum=0.5), complete(2), problem, starts(problem), STEPS).models
    assert np.abs(got - wanted).max() <= 1e-12


def test_the_hub_of_a_star_averages_exactly_from_the_first_step() -> None:
    problem = least_squares(8)
    models = run(RelaySGD(lr=0.02), star(8), problem, common(problem), 50).models
    for X, after in pairwise(models):
        assert np.abs(after[0] - (X - 0.02 * problem.gradient(X)).mean(axis=0)).max() <= 1e-12
    # The leaves hear of each other a step later: they are not where exact averaging would be.
    exact = run(DecentralizedSGD(lr=0.02), complete(8), problem, common(problem), 50).models
    assert np.abs(models[5] - exact[5]).max() > 1e-3


@pytest.mark.parametrize("name", ["path-9", "path-2", "star-8", "binary-11", "random-13"])
def test_it_reaches_the_optimum_of_nodes_that_differ(name: str) -> None:
    topology = TREES[name]
    problem = least_squares(topology.n)
    for algorithm in (RelaySGD(lr=0.15), RelaySGD(lr=0.08, momentum=0.5), RelaySGD(lr=0.15, unheard="start")):
        final = run(algorithm, topology, problem, starts(problem), 700).final
        assert np.abs(final - problem.optimum).max() <= 1e-8
    gossip = Topology(topology.graph)
    if not np.allclose(gossip.matrix.toarray(), 1 / topology.n):  # where gossip is not the exact average
        biased = run(DecentralizedSGD(lr=0.15), gossip, problem, starts(problem), 700).final
        assert np.abs(biased - problem.optimum).max() > 1e-2


def test_without_gradients_all_nodes_agree() -> None:
    problem = least_squares(9)
    models = run(RelaySGD(lr=1e-300), path(9), problem, starts(problem), 400).models
    assert np.ptp(models[-1], axis=0).max() <= 1e-12
    assert np.ptp(models[3], axis=0).max() > 0.1


def test_bytes_by_hand() -> None:
    for topology, degrees in ((path(5), [1, 2, 2, 2, 1]), (star(5), [4, 1, 1, 1, 1])):
        problem = least_squares(5, d=11)
        result = run(RelaySGD(), topology, problem, starts(problem), 7)
        assert result.messages.tolist() == [(7 + 4) * degree for degree in degrees]  # counts in n - 1 steps
        assert result.bytes.tolist() == [(7 * 11 + 4) * 8 * degree for degree in degrees]


def test_refusals() -> None:
    for wrong, says in (
        ({"lr": inf}, "lr = inf"),
        ({"momentum": -0.1}, "momentum = -0.1"),
        ({"nesterov": True}, "nester"),
        ({"unheard": "nobody"}, "unheard = 'nobody'"),
    ):
        with pytest.raises(ValueError, match=says):
            RelaySGD(**wrong)
