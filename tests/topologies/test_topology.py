"""Topology and Schedule: the convention, validation, attributes, pickling, import cost."""

import pickle
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import topologies
from topologies import Schedule, Topology, exponential, ring

ROOT = Path(topologies.__file__).parents[1]


def one_line(caught: pytest.ExceptionInfo[ValueError]) -> bool:
    return "\n" not in str(caught.value)


@pytest.fixture
def digraph() -> nx.DiGraph:
    """0 -> 1 -> 2 -> 0 and 0 -> 2."""
    return nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2)])


def test_directed_edge_goes_from_sender_to_receiver(digraph: nx.DiGraph) -> None:
    topology = Topology(digraph)
    expected = [[1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(topology.matrix.toarray(), expected, rtol=1e-15)
    assert topology.in_degrees.tolist() == [1, 1, 2]
    assert topology.out_degrees.tolist() == [2, 1, 1]
    assert [topology.neighbors(i).tolist() for i in range(3)] == [[2], [0], [0, 1]]
    assert set(topology.graph.edges) == set(digraph.edges)
    assert not topology.symmetric and not topology.doubly_stochastic
    assert repr(topology) == "Topology('custom', nodes=3, directed edges=4, row stochastic)"


def test_labels_are_numbered_in_the_order_of_the_nodes() -> None:
    graph = nx.Graph([("c", "a"), ("a", "b")])
    topology = Topology(graph, name="letters")
    assert topology.labels == ("c", "a", "b")
    assert topology.neighbors(1).tolist() == [0, 2]
    assert topology.neighbors(0).tolist() == [1]
    assert sorted(topology.graph.nodes) == [0, 1, 2]
    assert ring(4).labels is None
    shuffled = nx.Graph()
    shuffled.add_nodes_from([1, 0])
    shuffled.add_edge(0, 1)
    assert Topology(shuffled).labels == (1, 0)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(0, 10**6), st.booleans())
def test_any_networkx_graph(n: int, seed: int, directed: bool) -> None:
    graph = nx.relabel_nodes(nx.gnp_random_graph(n, 0.4, seed=seed, directed=directed), lambda i: f"node {n - i}")
    graph.add_edge("node 1", "node 1")  # a self-loop, to be ignored
    topology = Topology(graph, connected=False)
    matrix = topology.matrix.toarray()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    names = list(graph.nodes)
    for i in range(n):
        for j in range(n):
            linked = i == j or graph.has_edge(names[j], names[i])
            assert (matrix[i, j] != 0) == linked
    assert (matrix >= 0).all()
    assert topology.symmetric == np.allclose(matrix, matrix.T, rtol=0, atol=1e-12)
    assert topology.symmetric or directed
    strongly = nx.is_strongly_connected(graph) if directed else nx.is_connected(graph)
    if strongly:
        Topology(graph)
    else:
        with pytest.raises(ValueError, match="connected components") as caught:
            Topology(graph)
        assert one_line(caught)


def test_edge_weights_of_the_graph_are_ignored() -> None:
    graph = nx.Graph()
    graph.add_edge(0, 1, weight=0.0)
    np.testing.assert_array_equal(Topology(graph).matrix.toarray(), np.full((2, 2), 0.5))


def test_matrix_is_canonical_and_read_only() -> None:
    given_matrix = csr_array(
        (np.array([0.25, 0.5, 0.25, 0.0, 1.0]), np.array([1, 0, 1, 0, 1]), np.array([0, 3, 5])), shape=(2, 2)
    )
    topology = Topology.from_matrix(given_matrix, connected=False)
    matrix = topology.matrix
    assert isinstance(matrix, csr_array) and matrix.dtype == np.float64
    assert matrix.indices.dtype == np.int32 and matrix.indptr.dtype == np.int32
    assert matrix.indices.tolist() == [0, 1, 1] and matrix.data.tolist() == [0.5, 0.5, 1.0]
    assert given_matrix.nnz == 5, "the argument must stay as it was"
    assert [array.dtype for array in topology.arrays] == [np.int64, np.int64, np.float64]
    for array, same in zip(topology.arrays, (matrix.indptr, matrix.indices, matrix.data), strict=True):
        assert array.tolist() == same.tolist()
    for array in (matrix.data, matrix.indices, matrix.indptr, *topology.arrays):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    np.testing.assert_array_equal(matrix @ np.array([1.0, 3.0]), [2.0, 3.0])


def test_negative_weights_are_allowed() -> None:
    matrix = [[1.2, -0.2], [-0.2, 1.2]]
    topology = Topology(matrix)
    assert topology.symmetric and topology.doubly_stochastic
    np.testing.assert_array_equal(topology.matrix.toarray(), matrix)


def test_columns_may_sum_to_1_instead_of_rows(digraph: nx.DiGraph) -> None:
    push = Topology(digraph, "push")
    expected = [[1 / 3, 0, 1 / 2], [1 / 3, 1 / 2, 0], [1 / 3, 1 / 2, 1 / 2]]
    np.testing.assert_allclose(push.matrix.toarray(), expected, rtol=1e-15)
    assert push.column_stochastic and not push.row_stochastic and not push.doubly_stochastic
    assert repr(push) == "Topology('custom', nodes=3, directed edges=4, column stochastic)"
    same = Topology.from_matrix(expected)
    assert same.column_stochastic and not same.row_stochastic and same.neighbors(2).tolist() == [0, 1]
    rows = Topology(digraph)
    assert rows.row_stochastic and not rows.column_stochastic
    assert push.stochasticity == "column stochastic" and ring(3).stochasticity == "doubly stochastic"
    schedule = Schedule([push, Topology(digraph.reverse(), "push"), ring(3)])
    assert schedule.column_stochastic and not schedule.row_stochastic and not schedule.doubly_stochastic


@pytest.mark.parametrize(
    ("topology", "tree"),
    [
        (topologies.path(1), True),
        (topologies.path(6), True),
        (topologies.star(6), True),
        (Topology(nx.full_rary_tree(2, 9), "push"), True),
        (ring(2), True),
        (ring(3), False),
        (topologies.grid(4), False),
        (Topology(nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2)])), False),  # as many links as a path of 3
        (Topology(nx.Graph([(0, 1), (1, 2), (2, 0), (3, 3)]), connected=False), False),  # as many edges as a tree
        (Schedule([topologies.path(3)]), False),
        (topologies.RandomizedGossip(topologies.path(3)), False),
    ],
    ids=str,
)
def test_tree(topology: Schedule, tree: bool) -> None:
    assert topology.tree is tree


@pytest.mark.parametrize(("change", "doubly"), [(1e-12, True), (1e-6, False)])
def test_tolerance_of_doubly_stochastic(change: float, doubly: bool) -> None:
    assert Topology([[0.5, 0.5], [0.5 + change, 0.5 - change]]).doubly_stochastic is doubly


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Topology([[0.5, 0.5], [0.4, 0.4]]), r"row 1 sums to 0\.8 and column 0 to 0\.9;"),
        (lambda: Topology(nx.to_numpy_array(nx.complete_graph(3))), r"from_numpy_array\(A\)"),
        (lambda: Topology([[1.0, 0.0]]), r"square matrix .* got list of shape \(1, 2\)"),
        (lambda: Topology([[1.0], [0.0, 1.0]]), "square matrix"),
        (lambda: Topology([1.0]), "square matrix"),
        (lambda: Topology([[1 + 0j]]), "real numbers"),
        (lambda: Topology("ring"), "square matrix .* got <class 'str'>"),
        (lambda: Topology(np.zeros((0, 0))), "at least one node"),
        (lambda: Topology(nx.Graph()), "at least one node"),
        (lambda: Topology([[np.nan, 1.0], [0.5, 0.5]]), "finite, got an entry nan"),
        (lambda: Topology([[np.inf, 1.0], [0.5, 0.5]]), "finite, got an entry inf"),
        (lambda: Topology(nx.MultiGraph([(0, 1), (0, 1)])), "parallel edges"),
        (lambda: Topology([[1.0]], "uniform"), "weights go with a graph"),
        (
            lambda: Topology(nx.path_graph(3), "best"),
            "unknown weights 'best', allowed are metropolis, uniform",
        ),
        (lambda: Topology(nx.DiGraph([(0, 1), (1, 0)]), "metropolis"), "need an undirected graph"),
        (lambda: Topology(np.eye(3)), "has 3 connected components, one of them with nodes 0;"),
        (lambda: Topology(nx.Graph([("a", "b"), ("c", "d"), ("d", "e")])), "2 connected .* nodes 'a', 'b';"),
        (lambda: Topology(nx.DiGraph([(0, 1)])), "not strongly connected: it has 2 strongly connected"),
        (
            lambda: Topology(nx.path_graph(3), lambda g: csr_array(np.full((3, 3), 1 / 3))),
            r"no edge, the first on w\[0, 2\]",
        ),
        (
            lambda: Topology(nx.path_graph(3), lambda g: csr_array(np.eye(2))),
            r"shape \(2, 2\) for a graph of 3",
        ),
        (lambda: Schedule([]), "at least one round, each a Topology; got none"),
        (lambda: Schedule([np.eye(2)]), "got ndarray"),  # type: ignore[list-item]
        (
            lambda: Schedule([Topology([[0.5, 0.5], [1, 0]]), Topology([[0.5, 1], [0.5, 0]])]),
            "all have rows that sum to 1, or all columns that do",
        ),
        (lambda: Schedule([ring(3), ring(4)]), r"same number of nodes, got \[3, 4\]"),
        (
            lambda: Schedule([Topology(np.eye(2), connected=False)]),
            "union of the rounds .* 2 connected components",
        ),
    ],
)
def test_errors_are_one_line(make, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert one_line(caught)


def test_a_function_as_weights_sees_clean_nodes() -> None:
    def lazy(graph: nx.Graph) -> csr_array:
        assert list(graph.nodes) == [0, 1, 2] and nx.number_of_selfloops(graph) == 0
        return csr_array((np.eye(3) + topologies.metropolis(graph).toarray()) / 2)

    graph = nx.Graph([("x", "y"), ("y", "z"), ("x", "x")])
    np.testing.assert_allclose(Topology(graph, lazy).matrix.diagonal(), [5 / 6, 2 / 3, 5 / 6])
    assert graph.has_edge("x", "x"), "the argument must stay as it was"


def test_single_node() -> None:
    for topology in (Topology(nx.empty_graph(1)), Topology([[1]])):
        assert topology.n == 1 and topology.matrix.toarray().tolist() == [[1.0]]
        assert topology.neighbors(0).size == 0 and topology.in_degrees.tolist() == [0]
        assert list(topology.graph.edges) == [] and len(topology.graph) == 1
        assert topology.symmetric and topology.doubly_stochastic


def test_neighbors_of_no_node() -> None:
    for i in (-1, 4):
        with pytest.raises(IndexError, match=r"nodes are 0\.\.3"):
            ring(4).neighbors(i)


def test_degrees_without_self_weight() -> None:
    swap = Topology([[0, 1], [1, 0]])
    assert swap.in_degrees.tolist() == swap.out_degrees.tolist() == [1, 1]


def test_topology_is_the_static_schedule() -> None:
    topology = ring(5)
    assert isinstance(topology, Schedule) and topology.static and len(topology) == 1
    assert topology[0] is topology[7] is topology
    assert list(topology) == [topology]
    with pytest.raises(IndexError):
        topology[-1]


def test_schedule_repeats_its_rounds() -> None:
    even = Topology(nx.Graph([(0, 1), (2, 3)]), connected=False)
    odd = Topology.from_matrix([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]], connected=False)
    schedule = Schedule([even, odd], name="matchings")
    assert [schedule[t] for t in range(5)] == [even, odd, even, odd, even]
    assert list(schedule) == [even, odd] and len(schedule) == 2 and schedule.n == 4 and not schedule.static
    assert schedule.symmetric and schedule.doubly_stochastic
    assert nx.utils.graphs_equal(nx.Graph(schedule.graph), nx.path_graph(4))
    assert repr(schedule) == "Schedule('matchings', nodes=4, period=2, symmetric, doubly stochastic)"
    with pytest.raises(IndexError):
        schedule[-1]
    rows_only = Topology.from_matrix([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], connected=False)
    mixed = Schedule([even, odd, rows_only])
    assert not mixed.symmetric and not mixed.doubly_stochastic


def test_weights_of_opposite_sign_do_not_cancel_in_the_union() -> None:
    Schedule([Topology([[1.2, -0.2], [-0.2, 1.2]]), Topology([[0.8, 0.2], [0.2, 0.8]])])


def test_pickle_keeps_everything_but_the_cached_graph() -> None:
    topology = Topology(nx.Graph([("a", "b"), ("b", "c")]), name="path")
    schedule = Schedule([topology, topology])
    edges = set(topology.graph.edges)
    assert schedule.graph.number_of_edges() == 2
    copy, schedule_copy = pickle.loads(pickle.dumps((topology, schedule)))
    assert repr(copy) == repr(topology) and copy.labels == ("a", "b", "c")
    np.testing.assert_array_equal(copy.matrix.toarray(), topology.matrix.toarray())
    assert not any(array.flags.writeable for array in (copy.matrix.data, *copy.arrays))
    assert set(copy.graph.edges) == edges
    assert schedule_copy[1].n == 3 and set(schedule_copy.graph.edges) == edges


def test_unpickling_imports_neither_networkx_nor_scipy(tmp_path: Path) -> None:
    topology, directed = ring(6), exponential(5)
    assert topology.graph.number_of_edges() == 6 and directed.graph.is_directed()
    path = tmp_path / "topology.pickle"
    path.write_bytes(pickle.dumps([topology, directed, topologies.one_peer_exponential(4)]))
    code = (
        "import pickle, sys; t, d, s = pickle.load(open(sys.argv[1], 'rb'));"
        "assert t.arrays.indices[:3].tolist() == [0, 1, 5] and s[1].n == 4 and not d.symmetric;"
        "assert 'scipy' not in sys.modules, 'too early';"
        "assert t.neighbors(0).tolist() == [1, 5]; repr([t, d, s]);"
        "assert 'networkx' not in sys.modules, 'too early';"
        "assert t.graph.number_of_edges() == 6 and d.graph.is_directed() and 'networkx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=ROOT)


def test_import_is_light() -> None:
    code = (
        "import sys, topologies;"
        "heavy = {'networkx', 'scipy', 'torch', 'matplotlib', 'mpi4py'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_large_graphs_stay_sparse() -> None:
    topology = ring(100_000)
    assert topology.matrix.nnz == 300_000 and topology.symmetric
    assert topology.neighbors(0).tolist() == [1, 99_999]
