"""Weight rules against their formulas."""

import networkx as nx
import numpy as np
import pytest

from topologies import WEIGHTS, metropolis, push, uniform


def test_metropolis_on_an_irregular_graph() -> None:
    graph = nx.Graph([(0, 1), (0, 2), (0, 3), (1, 2)])  # degrees 3, 2, 2, 1
    expected = [
        [1 / 4, 1 / 4, 1 / 4, 1 / 4],
        [1 / 4, 5 / 12, 1 / 3, 0],
        [1 / 4, 1 / 3, 5 / 12, 0],
        [1 / 4, 0, 0, 3 / 4],
    ]
    np.testing.assert_allclose(metropolis(graph).toarray(), expected, rtol=1e-14)


def test_uniform_on_an_irregular_graph() -> None:
    graph = nx.path_graph(3)
    expected = [[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1 / 2, 1 / 2]]
    np.testing.assert_allclose(uniform(graph).toarray(), expected, rtol=1e-15)


def test_push_on_irregular_graphs() -> None:
    expected = [[1 / 2, 1 / 3, 0], [1 / 2, 1 / 3, 1 / 2], [0, 1 / 3, 1 / 2]]
    np.testing.assert_allclose(push(nx.path_graph(3)).toarray(), expected, rtol=1e-15)
    directed = nx.gnp_random_graph(12, 0.2, seed=1, directed=True)
    np.testing.assert_allclose(push(directed).toarray(), uniform(directed.reverse()).toarray().T, rtol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_metropolis_is_symmetric_to_the_last_bit(seed: int) -> None:
    matrix = metropolis(nx.gnp_random_graph(20, 0.3, seed=seed)).toarray()
    assert (matrix == matrix.T).all() and (matrix.diagonal() > 0).all()
    np.testing.assert_allclose(matrix.sum(axis=0), 1, rtol=1e-14)


def test_rules_agree_on_regular_graphs_and_ignore_self_loops() -> None:
    graph = nx.petersen_graph()
    looped = graph.copy()
    looped.add_edge(3, 3)
    for rule in WEIGHTS.values():
        np.testing.assert_allclose(rule(graph).toarray(), (nx.to_numpy_array(graph) + np.eye(10)) / 4, atol=1e-15)
        np.testing.assert_array_equal(rule(looped).toarray(), rule(graph).toarray())


def test_metropolis_refuses_directed_graphs() -> None:
    with pytest.raises(ValueError, match="undirected graph, got a directed one: use weights='uniform'"):
        metropolis(nx.DiGraph([(0, 1), (1, 0)]))
