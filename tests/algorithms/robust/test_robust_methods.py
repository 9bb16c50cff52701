"""SGD and gossip by robust aggregates: the equations, and what attackers can do to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

from algorithms import (
    Aggregator,
    Algorithm,
    ALittleIsEnough,
    Attack,
    Attacked,
    Bulyan,
    CenteredClipping,
    CoordinateMedian,
    DecentralizedSGD,
    FoolsGold,
    GeometricMedian,
    InnerProductManipulation,
    Krum,
    Mean,
    RobustGossip,
    RobustSGD,
    Scaling,
    SignFlip,
    TrimmedMean,
    robustness,
)
from algorithms.randomness import Draw
from tests.algorithms.helpers import Array, dense, least_squares, run, same_curvature, starts
from topologies import Topology, complete, ring

N, STEPS, BETA = 7, 40, 0.6
DRAW = Draw(0, "", [0], 0)


def clipped_to(center: Array, v: Array, radius: float) -> Array:
    return (v - center) * min(1, radius / max(float(np.linalg.norm(v - center)), 1e-300))


def test_the_equations_at_a_server() -> None:
    problem = least_squares(N)
    algorithm = RobustSGD(lr=0.1, aggregator=CenteredClipping(radius=0.7), momentum=BETA)
    x, v, m = starts(problem).mean(axis=0), np.zeros((N, problem.d)), np.zeros(problem.d)
    literal = [x]
    for _ in range(STEPS):
        v = BETA * v + problem.gradient(np.tile(x, (N, 1)))
        sent = (1 - BETA) * v
        m = m + np.mean([clipped_to(m, row, 0.7) for row in sent], axis=0)
        x = x - 0.1 * m
        literal.append(x)
    for server in ("node", "replicated"):
        found = run(RobustSGD(0.1, algorithm.aggregator, BETA, server=server), ring(N), problem, starts(problem), STEPS)
        np.testing.assert_allclose(found.models[:, :N], np.stack(literal)[:, None].repeat(N, 1), rtol=0, atol=1e-10)


def bridge_trimmed(own: Array, others: Array, weights: Array) -> Array:
    kept = np.sort(others, axis=0)[1:-1]
    return (own + kept.sum(axis=0)) / (1 + len(kept))


def bridge_median(own: Array, others: Array, weights: Array) -> Array:
    return np.median(np.vstack([own, others]), axis=0)


def clipped_gossip(own: Array, others: Array, weights: Array) -> Array:
    return own + sum(w * clipped_to(own, row, 0.3) for w, row in zip(weights, others, strict=True))


RULES: dict[str, tuple[Aggregator, Callable[[Array, Array, Array], Array]]] = {
    "bridge-t": (TrimmedMean(trim=1), bridge_trimmed),
    "bridge-m": (CoordinateMedian(), bridge_median),
    "clipped-gossip": (CenteredClipping(radius=0.3), clipped_gossip),
}


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt"])
@pytest.mark.parametrize("name", RULES)
def test_the_equations_on_a_graph(name: str, order: str) -> None:
    rule, combine = RULES[name]
    problem, topology = least_squares(N), Topology(nx.connected_watts_strogatz_graph(N, 4, 0.3, seed=1))
    W, x, v = dense(topology), starts(problem), np.zeros((N, problem.d))
    literal = [x]
    for _ in range(STEPS):
        v = BETA * v + problem.gradient(x)
        step = 0.05 * (1 - BETA) * v
        y = x - step if order == "adapt-then-combine" else x
        others = [[j for j in range(N) if j != i and W[i, j]] for i in range(N)]
        x = np.stack([combine(y[i], y[others[i]], W[i, others[i]]) for i in range(N)])
        x = x if order == "adapt-then-combine" else x - step
        literal.append(x)
    algorithm = RobustGossip(lr=0.05, aggregator=rule, momentum=BETA, order=order)  # type: ignore[arg-type]
    found = run(algorithm, topology, problem, starts(problem), STEPS)
    np.testing.assert_allclose(found.models, np.stack(literal), rtol=0, atol=1e-10)


def test_a_mean_is_the_method_without_a_defence() -> None:
    problem = least_squares(N)
    topology = ring(N)
    plain = run(DecentralizedSGD(lr=0.05, order="adapt-then-combine"), topology, problem, starts(problem), STEPS)
    found = run(RobustGossip(lr=0.05, aggregator=Mean()), topology, problem, starts(problem), STEPS)
    np.testing.assert_allclose(found.models, plain.models, rtol=0, atol=1e-10)


ATTACKS = {
    "sign flip": SignFlip(scale=5.0),
    "scaling": Scaling(factor=20.0),
    "alie": ALittleIsEnough(),
    "ipm": InnerProductManipulation(epsilon=2.0),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize(
    "rule",
    [TrimmedMean(trim=3), CoordinateMedian(), Krum(forged=3, kept=4), Bulyan(forged=3), GeometricMedian(),
     CenteredClipping(radius=0.3)],
    ids=lambda rule: type(rule).__name__,
)  # fmt: skip
def test_honest_nodes_that_agree_reach_the_optimum(rule: Aggregator, attack: Attack) -> None:
    """Where all honest nodes have the same data, three attackers of 15 do not keep robust rules from it.

    But for a clipped mean, which they can move by the radius each, 0.06 in all, against 12/15 of the gradient.
    """
    n = 15
    problem = same_curvature(n, 1.0)
    problem.b[:] = problem.b[:1]  # the same optimum everywhere
    algorithm = Attacked(RobustSGD(lr=0.2, aggregator=rule), attack, attackers=(1, 4, 7))
    found = run(algorithm, ring(n), problem, starts(problem), 200)
    allowed = 0.06 / (12 / 15) if isinstance(rule, CenteredClipping) else 1e-3
    assert np.abs(found.models[-1][0] - problem.optimum).max() < allowed


@pytest.mark.parametrize("attack", [SignFlip(scale=5.0), InnerProductManipulation(epsilon=4.5)], ids=str)
def test_a_mean_does_not(attack: Attack) -> None:
    n = 15
    problem = same_curvature(n, 1.0)
    problem.b[:] = problem.b[:1]
    algorithm = Attacked(RobustSGD(lr=0.2, aggregator=Mean()), attack, attackers=(1, 4, 7))
    start = starts(problem)
    found = run(algorithm, ring(n), problem, start, 200)
    assert np.abs(found.models[-1][0] - problem.optimum).max() > np.abs(start.mean(axis=0) - problem.optimum).max()


def test_neighbours_that_lie_do_not_move_honest_ones_far() -> None:
    """On a complete graph two attackers of nine leave a trimmed mean at the optimum, and D-SGD nowhere near it."""
    n = 9
    problem = same_curvature(n, 1.0)
    problem.b[:] = problem.b[:1]
    honest = [node for node in range(n) if node not in (2, 6)]

    def error(algorithm: Algorithm) -> float:
        found = run(
            Attacked(algorithm, SignFlip(scale=10.0), attackers=(2, 6)), complete(n), problem, starts(problem), 80
        )
        return float(np.abs(found.models[-1][honest] - problem.optimum).max())

    assert error(RobustGossip(lr=0.1, aggregator=TrimmedMean(trim=2))) < 1e-2
    assert error(RobustGossip(lr=0.1, aggregator=Mean())) > 1


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (RobustGossip(aggregator=TrimmedMean(trim=2)), "TrimmedMean: trim = 2 needs 5 rows or more, and there are 2"),
        (RobustGossip(aggregator=Krum(forged=1)), "Krum: forged = 1 needs 5 rows or more, and there are 3"),
        (RobustSGD(aggregator=Bulyan(forged=2)), "Bulyan: forged = 2 needs 11 rows or more, and there are 7"),
        (
            RobustGossip(aggregator=CenteredClipping(), forged=1),
            "forged = 1 needs 3 neighbours or more at every node, and there is one with 2",
        ),
    ],
    ids=["trimmed", "krum", "bulyan", "degree"],
)
def test_too_few_neighbours_are_refused(algorithm: Algorithm, message: str) -> None:
    problem = least_squares(N)
    with pytest.raises(ValueError, match=message):
        run(algorithm, ring(N), problem, starts(problem), 1)


def test_graphs_that_are_not_robust_enough_are_refused() -> None:
    """Two complete graphs of 5, with 5 links between them: 5 neighbours each, one of them in the other half."""
    problem = least_squares(10)
    two = nx.disjoint_union(nx.complete_graph(5), nx.complete_graph(5))
    two.add_edges_from((i, i + 5) for i in range(5))
    algorithm = RobustGossip(aggregator=TrimmedMean(trim=1), forged=1)
    with pytest.raises(ValueError, match="forged = 1 needs a 3-robust graph, and this one is 1-robust"):
        run(algorithm, Topology(two), problem, starts(problem), 1)
    run(RobustGossip(aggregator=TrimmedMean(trim=1)), Topology(two), problem, starts(problem), 1)
    run(RobustGossip(aggregator=TrimmedMean(trim=2), forged=2), complete(10), problem, starts(problem), 1)


def robust(graph: nx.Graph, r: int) -> bool:
    """By the definition: all pairs of disjoint sets, none empty."""
    parts = [dict(zip(graph, each, strict=True)) for each in itertools.product((0, 1, 2), repeat=len(graph))]
    sets = [[{node for node in graph if part[node] == which} for which in (1, 2)] for part in parts]
    return all(
        any(len(set(graph[node]) - some) >= r for some in (first, second) for node in some)
        for first, second in sets
        if first and second
    )


def test_robustness_is_that_of_its_definition() -> None:
    graphs = [nx.gnp_random_graph(6, p, seed=seed) for seed in range(4) for p in (0.4, 0.7)]
    for graph in [*graphs, nx.complete_graph(6), nx.star_graph(5), nx.path_graph(2)]:
        found = robustness(nx.to_numpy_array(graph) > 0)
        assert robust(graph, found) and not robust(graph, found + 1)


def test_known_robustness() -> None:
    for n in (2, 5, 8, 13):
        assert robustness(np.ones((n, n), bool)) == -(-n // 2)
    assert robustness(nx.to_numpy_array(nx.cycle_graph(9)) > 0) == 1
    with pytest.raises(ValueError, match="at most 16 nodes; there are 17"):
        robustness(np.ones((17, 17), bool))


def test_attacks_send_what_they_say() -> None:
    own = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(Scaling(factor=4.0).forge(own, own, 2, 5, DRAW), 4 * own)
    forged = InnerProductManipulation(epsilon=0.5).forge(own, own, 2, 5, DRAW)
    assert torch.equal(forged, -0.5 * own.mean(dim=0).expand(2, 3))
    for make in (lambda: Scaling(factor=1.0), lambda: InnerProductManipulation(epsilon=0.0)):
        with pytest.raises(ValueError, match="is not allowed"):
            make()


@pytest.mark.parametrize("options", [{"forged": 0}, {"aggregator": FoolsGold()}], ids=str)
def test_what_gossip_cannot_do_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"RobustGossip: .* is not allowed"):
        RobustGossip(**options)
