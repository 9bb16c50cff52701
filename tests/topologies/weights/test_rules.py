"""Weight rules against their formulas."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import mmwrite
from scipy.sparse import csr_array

from topologies import Topology, metropolis, push, smallest_eigenvalue, spectral_gap, uniform
from topologies.weights.optimal import fastest_averaging, fastest_markov_chain
from topologies.weights.rules import best_constant, find, in_adjacency, max_degree, sinkhorn

SYMMETRIC = ("metropolis", "max_degree", "best_constant", "fdla", "fmmc", "sinkhorn")


@st.composite
def connected_graphs(draw: st.DrawFn) -> nx.Graph:
    """A random tree of 1 to 9 nodes with some more edges."""
    n = draw(st.integers(1, 9))
    graph = nx.empty_graph(n)
    graph.add_edges_from((draw(st.integers(0, i - 1)), i) for i in range(1, n))
    graph.add_edges_from(edge for edge in nx.non_edges(graph) if draw(st.booleans()))
    return graph


@given(connected_graphs(), st.sampled_from(SYMMETRIC), st.booleans())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_symmetric_rules(graph: nx.Graph, rule: str, lazy: bool) -> None:
    topology = Topology(graph, "lazy_" * lazy + rule)
    W = topology.matrix.toarray()
    n = len(graph)
    assert topology.symmetric and topology.doubly_stochastic
    np.testing.assert_allclose(W.sum(axis=0), 1, atol=1e-12)
    off = W != 0
    np.fill_diagonal(off, False)
    assert not (off & (nx.to_numpy_array(graph, nodelist=range(n)) == 0)).any()
    assert rule in ("best_constant", "fdla") or W.min() >= -1e-15
    eigenvalues = np.linalg.eigvalsh(W)
    assert eigenvalues[-1] == pytest.approx(1, abs=1e-12) and (n == 1 or eigenvalues[-2] < 1 - 1e-6)
    assert not lazy or eigenvalues[0] > -1e-9
    assert spectral_gap(topology) > 1e-6


@given(st.integers(1, 9), st.integers(0, 99), st.sampled_from(["uniform", "push", "sinkhorn"]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_rules_of_directed_graphs(n: int, seed: int, rule: str) -> None:
    graph = nx.gnp_random_graph(n, 0.3, seed=seed, directed=True)
    nx.add_cycle(graph, range(n))
    W = Topology(graph, rule).matrix.toarray()
    assert W.min() >= 0 and ((W > 0) == (nx.to_numpy_array(graph, nodelist=range(n)).T + np.eye(n) > 0)).all()
    np.testing.assert_allclose(W.sum(axis=1), 1 if rule != "push" else W.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(W.sum(axis=0), 1 if rule != "uniform" else W.sum(axis=0), atol=1e-12)


BARBELL, TREE = nx.barbell_graph(8, 0), nx.balanced_tree(2, 3)
BARABASI = nx.barabasi_albert_graph(16, 2, seed=1)
OPTIMA = [  # spectral gaps of FDLA and FMMC from cvxpy 1.9 with Clarabel
    (nx.path_graph(16), 0.019214, 0.019215),  # 1 - cos(pi / 16)
    (nx.star_graph(15), 0.117647, 0.066667),  # 2 / 17 and 1 / 15
    (BARBELL, 0.064585, 0.047848),
    (TREE, 0.041375, 0.037305),
    (BARABASI, 0.219679, 0.144433),
]


@pytest.mark.parametrize(("graph", "averaging", "chain"), OPTIMA, ids=str)
def test_optima_of_the_built_in_solver(graph: nx.Graph, averaging: float, chain: float) -> None:
    for solve, best in ((fastest_averaging, averaging), (fastest_markov_chain, chain)):
        off = solve(in_adjacency(graph), "smoothing").toarray()
        norm = np.linalg.norm(off + np.diag(1 - off.sum(axis=1)) - 1 / len(graph), 2)
        assert 1 - norm == pytest.approx(best, abs=3e-5)


def test_optima_of_cvxpy() -> None:
    for solve in (fastest_averaging, fastest_markov_chain):
        a, b = (solve(in_adjacency(TREE), solver).toarray() for solver in ("cvxpy", "smoothing"))
        norms = [np.linalg.norm(off + np.diag(1 - off.sum(axis=1)) - 1 / 15, 2) for off in (a, b)]
        assert norms[0] == pytest.approx(norms[1], abs=1e-3)


@pytest.mark.parametrize("graph", [nx.cycle_graph(50), nx.path_graph(50), nx.star_graph(9), TREE], ids=str)
def test_the_optimum_is_no_worse_than_a_rule_in_closed_form(graph: nx.Graph) -> None:
    def gap(rule: str) -> float:
        W = Topology(graph, rule).matrix.toarray()
        assert rule != "fmmc" or W.min() >= 0
        assert not ((abs(W) > 0) & (abs(W) < 1e-14)).any()  # as 1 - 0.5 - 0.5 in several ways
        return float(1 - np.linalg.norm(W - 1 / len(W), 2))

    assert gap("fdla") >= gap("best_constant") - 1e-12
    assert gap("fmmc") >= gap("metropolis") - 1e-12
    if graph.number_of_nodes() == 50 and graph.number_of_edges() == 50:
        assert gap("fmmc") == pytest.approx(gap("best_constant")) == pytest.approx(0.0078543, abs=5e-8)


def test_optimal_weights_are_for_some_hundred_nodes() -> None:
    with pytest.raises(ValueError, match="fdla weights are for up to 400 nodes, got 401; use weights='best_constant'"):
        Topology(nx.path_graph(401), "fdla")


def test_best_constant_against_its_formula() -> None:
    star = Topology(nx.star_graph(15), "best_constant")
    assert star.matrix[0, 1] == pytest.approx(2 / (1 + 16))  # eigenvalues 0, 1, n of the Laplacian
    long = best_constant(nx.path_graph(1500))  # too long for the dense way
    ends = [2 - 2 * np.cos(np.pi * k / 1500) for k in (1, 1499)]
    assert long[0, 1] == pytest.approx(2 / sum(ends), rel=1e-9)
    with pytest.raises(ValueError, match="connected"):
        best_constant(nx.empty_graph(2))


def test_max_degree_is_one_weight() -> None:
    matrix = max_degree(nx.star_graph(3)).toarray()
    assert matrix[0].tolist() == [1 / 4] * 4 and matrix[1].tolist() == [1 / 4, 3 / 4, 0, 0]


def test_sinkhorn_scales_the_adjacency() -> None:
    matrix = sinkhorn(nx.path_graph(2).to_directed()).toarray()
    np.testing.assert_allclose(matrix, 1 / 2)
    W = sinkhorn(nx.path_graph(3)).toarray()  # d1 d2 = w12: cross ratios of a scaling are those of the ones
    assert W[0, 0] * W[1, 1] == pytest.approx(W[0, 1] * W[1, 0])
    assert W[1, 1] * W[2, 2] == pytest.approx(W[1, 2] * W[2, 1])


def test_lazy_rules_have_no_negative_eigenvalue() -> None:
    assert smallest_eigenvalue(Topology(nx.cycle_graph(8), "lazy_metropolis")) == pytest.approx(1 / 3)
    W = metropolis(nx.cycle_graph(8))
    np.testing.assert_allclose(find("lazy_metropolis")(nx.cycle_graph(8)).toarray(), (W.toarray() + np.eye(8)) / 2)


def test_weights_that_edges_bring_along() -> None:
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([(0, 1, 0.25), (1, 0, 0.5)])
    assert Topology(graph, "edge_weights").matrix.toarray().tolist() == [[0.5, 0.5], [0.25, 0.75]]
    graph.add_edge(1, 2)
    with pytest.raises(ValueError, match=r"attribute 'weight' on every edge, and edge \(1, 2\) has none"):
        Topology(graph, "edge_weights")


def test_weights_from_files(tmp_path: Path) -> None:
    W = metropolis(nx.star_graph(3))
    np.save(tmp_path / "w.npy", W.toarray())
    mmwrite(tmp_path / "w.mtx", W)
    for name in ("w.npy", "w.mtx"):
        np.testing.assert_allclose(Topology(nx.star_graph(3), str(tmp_path / name)).matrix.toarray(), W.toarray())
    for graph, message in ((nx.star_graph(4), "shape .4, 4. for a graph of 5"), (nx.path_graph(4), "no edge")):
        with pytest.raises(ValueError, match=message):
            Topology(graph, str(tmp_path / "w.npy"))
    with pytest.raises(ValueError, match=r"cannot take a matrix from nowhere\.npy: .*No such file"):
        find("nowhere.npy")
    with pytest.raises(ValueError, match="unknown weights 'metropolits', did you mean metropolis"):
        find("metropolits")


def test_rules_take_adjacency_matrices_and_edges() -> None:
    graph = nx.Graph(nx.barabasi_albert_graph(7, 2, seed=1))
    adjacency = csr_array(nx.to_numpy_array(graph, nodelist=range(7)))
    senders, receivers = np.array(graph.edges).T
    for rule in SYMMETRIC:
        expected = Topology(graph, rule).matrix.toarray()
        np.testing.assert_allclose(find(rule)(adjacency).toarray(), expected, atol=1e-9)
        twice = np.append(senders, receivers), np.append(receivers, senders)
        np.testing.assert_allclose(Topology.from_edges(7, *twice, rule).matrix.toarray(), expected, atol=1e-9)
    one_way = Topology.from_edges(3, np.arange(3), np.array([1, 2, 0]), directed=True)
    assert one_way.neighbors(1).tolist() == [0] and one_way.doubly_stochastic and not one_way.symmetric


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
    for rule in (metropolis, uniform, push, max_degree, sinkhorn):
        np.testing.assert_allclose(rule(graph).toarray(), (nx.to_numpy_array(graph) + np.eye(10)) / 4, atol=1e-15)
        np.testing.assert_array_equal(rule(looped).toarray(), rule(graph).toarray())


def test_metropolis_refuses_directed_graphs() -> None:
    with pytest.raises(ValueError, match="undirected graph, got a directed one: use weights='uniform'"):
        metropolis(nx.DiGraph([(0, 1), (1, 0)]))
