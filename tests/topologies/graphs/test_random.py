"""Random graphs: their seeds, their degrees and edges, and when they give up."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from topologies import Topology, erdos_renyi, random_out, random_regular
from topologies.graphs import random


def test_large_random_graphs_are_drawn_in_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "LARGE", 10)
    for seed in range(5):
        regular = random_regular(60, 5, seed=seed)
        assert (regular.in_degrees == 5).all() and nx.is_connected(regular.graph)
    drawn = [erdos_renyi(60, 0.3, seed=seed).graph for seed in range(20)]
    edges = sum(graph.number_of_edges() for graph in drawn)
    assert edges == pytest.approx(20 * 0.3 * 1770, abs=5 * np.sqrt(20 * 1770 * 0.21))
    ends = np.bincount(np.concatenate([np.ravel(graph.edges) for graph in drawn]), minlength=60)
    assert ends == pytest.approx(np.full(60, 20 * 0.3 * 59), abs=5 * np.sqrt(20 * 59 * 0.21))
    i, j = random.random_pairs(7, 1.0, np.random.default_rng(0))
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == {(a, b) for a in range(7) for b in range(a + 1, 7)}
    with pytest.raises(ValueError, match="found no connected graph"):
        erdos_renyi(60, 0.001)


def test_random_graphs_follow_their_seed() -> None:
    def same(a: Topology, b: Topology) -> bool:
        return set(a.graph.edges) == set(b.graph.edges)

    for family in (erdos_renyi, random_regular):
        assert same(family(20), family(20, seed=0))
        assert not same(family(20), family(20, seed=10))
        assert family(20).labels is None


def test_erdos_renyi_draws_until_connected() -> None:
    assert not nx.is_connected(nx.fast_gnp_random_graph(12, 0.15, seed=0))
    assert nx.is_connected(erdos_renyi(12, 0.15).graph)
    assert erdos_renyi(6, probability=1).graph.number_of_edges() == 15
    assert [erdos_renyi(n).n for n in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize(("n", "probability"), [(16, 0.3), (60, 2 * np.log(60) / 60), (30_000, 2 * np.log(3e4) / 3e4)])
def test_erdos_renyi_has_a_probability_that_connects(n: int, probability: float) -> None:
    edges, pairs = erdos_renyi(n).in_degrees.sum() / 2, n * (n - 1) / 2
    assert abs(edges - pairs * probability) < 4 * np.sqrt(pairs * probability)


def test_erdos_renyi_without_enough_edges() -> None:
    with pytest.raises(
        ValueError, match=r"^erdos_renyi found no connected graph in 1000 draws from seed 0: .*0\.23.*$"
    ):
        erdos_renyi(10, 0.0)


def test_random_regular_is_regular() -> None:
    assert (random_regular(20, 3).in_degrees == 3).all()
    assert random_regular(1, 0).n == 1 and random_regular(2, 1).n == 2
    assert random_regular(5).graph.number_of_edges() == 10  # complete


@pytest.mark.parametrize(("n", "degree"), [(1, 0), (2, 1), (5, 1), (16, 2), (16, 5), (6, 5)])
def test_random_out(n: int, degree: int) -> None:
    topology = random_out(n, degree, seed=3)
    assert topology.column_stochastic and topology.name == "random_out"
    assert topology.out_degrees.tolist() == [degree] * n
    assert set(topology.matrix.data) == {1 / (1 + degree)}
    assert topology.row_stochastic == (n <= 2 or degree in (1, n - 1))  # a cycle, or complete
    uniform = random_out(n, degree, seed=3, weights="uniform")
    assert uniform.row_stochastic and set(uniform.graph.edges) == set(topology.graph.edges)


@pytest.mark.parametrize("n", [16, 32, 33, 40, 48, 64, 100, 1000])
def test_random_out_is_there_at_every_size(n: int) -> None:
    topology = random_out(n)
    assert nx.is_strongly_connected(topology.graph)
    assert set(topology.out_degrees) == {2 if n <= 32 else int(np.ceil(np.log(n)))}


def test_random_out_draws_from_its_seed() -> None:
    edges = [set(random_out(16, seed=seed).graph.edges) for seed in (0, 0, 7)]
    assert edges[0] == edges[1] != edges[2]
    for degree in (0, 16):
        with pytest.raises(ValueError, match="random_out needs"):
            random_out(16, degree)
