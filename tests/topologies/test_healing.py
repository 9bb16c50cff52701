"""What is left of a topology when nodes are gone."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from topologies import (
    Dropout,
    Matcha,
    RandomizedGossip,
    RandomMatchings,
    Schedule,
    Topology,
    complete,
    exponential,
    heal,
    metropolis,
    od_equi_dyn,
    one_peer_exponential,
    path,
    random_out,
    random_regular_rounds,
    ring,
    star,
    torus,
)


def lazy(graph: nx.Graph):  # type: ignore[no-untyped-def]
    """A rule of one's own: half of Metropolis."""
    return (metropolis(graph) + metropolis(nx.empty_graph(len(graph)))) / 2


def matrix(schedule: Schedule) -> np.ndarray:
    return np.asarray(schedule[0].matrix.todense())


def test_links_between_survivors_stay_and_weights_follow_the_rule() -> None:
    healed = heal(torus(16), [node for node in range(16) if node not in (0, 5)])
    graph = nx.Graph(torus(16).graph)
    graph.remove_nodes_from([0, 5])
    assert np.array_equal(matrix(healed), metropolis(graph).todense())
    assert healed.name == "torus"
    for topology in (ring(9), star(6), path(5), complete(7)):
        survivors = [node for node in range(topology.n) if node != 1]
        assert heal(topology, survivors).doubly_stochastic


def test_a_rule_of_ones_own_is_used_again() -> None:
    graph = nx.cycle_graph(6)
    healed = heal(Topology(graph, lazy), [0, 1, 2, 3, 4])
    assert np.array_equal(matrix(healed), lazy(nx.path_graph(5)).todense())


@pytest.mark.parametrize("survivors", [[1, 2, 3, 4, 5], [0, 1, 3, 4], [0, 2, 4]])
def test_what_falls_apart_is_joined_by_as_few_links_as_possible(survivors: list[int]) -> None:
    star_, ring_ = heal(star(6), survivors), heal(ring(6), survivors)
    for healed in (star_, ring_):
        assert nx.is_connected(healed.graph)
        assert healed.doubly_stochastic
    if 0 not in survivors:
        assert star_.tree
        assert len(star_.graph.edges) == len(survivors) - 1
    assert heal(path(6), survivors).tree


def test_what_was_doubly_stochastic_stays_so() -> None:
    healed = heal(exponential(8), [0, 1, 2, 4, 5, 6, 7])
    assert healed.doubly_stochastic
    rows = Topology(nx.DiGraph([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]))
    assert heal(rows, [0, 1, 2]).row_stochastic
    matrix_of_columns = Topology.from_matrix(random_out(8, weights="push").matrix)
    for topology in (random_out(8, weights="push"), matrix_of_columns):
        assert heal(topology, [0, 1, 2, 3, 5, 7]).column_stochastic


def test_schedules_keep_their_rounds() -> None:
    healed = heal(one_peer_exponential(8), [0, 1, 2, 3, 4, 6, 7])
    assert len(healed) == 3
    assert healed.doubly_stochastic
    gossip = RandomizedGossip(ring(6), seed=3)
    left = heal(gossip, [0, 1, 2, 4, 5])
    assert isinstance(left, RandomizedGossip)
    assert left.n == 5
    assert left.seed == 3


@pytest.mark.parametrize(
    "schedule",
    [
        Matcha(ring(6), seed=3),
        RandomMatchings(ring(6), seed=3),
        Dropout(ring(6), fail=0.3, repair=0.7, seed=3),
        random_regular_rounds(6, 3, seed=3),
        od_equi_dyn(6, seed=3),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_random_schedules_are_drawn_for_the_survivors(schedule: Schedule) -> None:
    healed = heal(schedule, [0, 1, 2, 4, 5])
    assert type(healed) is type(schedule)
    assert (healed.n, healed.seed) == (5, 3)
    assert np.allclose(matrix(healed).sum(0), 1)
    assert heal(schedule, [2])[0].n == 1


def test_weights_that_were_given_are_not_looked_for_again() -> None:
    graph = nx.cycle_graph(5)
    nx.set_edge_attributes(graph, 0.25, "weight")
    healed = heal(Topology(graph, "edge_weights"), [0, 1, 2, 3])
    assert np.array_equal(matrix(healed), metropolis(nx.path_graph(4)).todense())


def test_a_single_survivor() -> None:
    assert matrix(heal(ring(5), [3])) == 1


@pytest.mark.parametrize("survivors", [[], [2, 1], [1, 1], [-1, 2], [0, 5]])
def test_what_are_no_survivors_is_refused(survivors: list[int]) -> None:
    with pytest.raises(ValueError, match=r"survivors are nodes 0..4, ascending, at least one; got \["):
        heal(ring(5), survivors)
