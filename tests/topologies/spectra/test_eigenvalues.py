"""Extreme eigenvalues of sparse matrices against those of dense ones."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import laplacian

from topologies import Topology, erdos_renyi, hypercube, random_regular, ring, star
from topologies.graphs.expanders import second_adjacency_eigenvalue
from topologies.spectra import eigenvalues
from topologies.spectra.eigenvalues import extreme_eigenvalues

N = 400
GRAPHS = {
    "path": nx.path_graph(N),  # slow: by factorization
    "ladder": nx.ladder_graph(N // 2),
    "barbell": nx.barbell_graph(N // 2, 0),
    "grid": nx.grid_2d_graph(20, 20),
    "complete": nx.complete_graph(N),  # one step, and there is nowhere to go
    "star": nx.star_graph(N - 1),
    "random regular": nx.random_regular_graph(4, N, seed=0),
    "scale-free": nx.barabasi_albert_graph(N, 2, seed=0),
    "small world": nx.connected_watts_strogatz_graph(N, 4, 0.1, seed=0),
}


@pytest.mark.parametrize("weights", ["metropolis", "lazy_metropolis"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_mixing_matrices(graph: nx.Graph, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    W = Topology(graph, weights).matrix
    values = np.linalg.eigvalsh(W.toarray())
    assert extreme_eigenvalues(W) == pytest.approx((values[0], values[-2]), abs=1e-12)
    monkeypatch.setattr(eigenvalues, "DENSE_NODES", 1)
    monkeypatch.setattr(eigenvalues, "circulant_rows", lambda arrays: None)
    low, high = extreme_eigenvalues(W)
    assert low == pytest.approx(values[0], abs=1e-11)
    assert 1 - high == pytest.approx(1 - values[-2], abs=1e-12)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_laplacians(graph: nx.Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    L = csr_array(laplacian(nx.to_scipy_sparse_array(graph, dtype=float)))
    values = np.linalg.eigvalsh(L.toarray())
    monkeypatch.setattr(eigenvalues, "DENSE_NODES", 1)
    assert extreme_eigenvalues(L) == pytest.approx((values[1], values[-1]), rel=1e-9, abs=1e-12)


def test_of_many_nodes_the_gap_is_right_as_its_tolerance_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eigenvalues, "DENSE_NODES", 1)
    monkeypatch.setattr(eigenvalues, "PRECISE_NODES", 1)
    monkeypatch.setattr(eigenvalues, "circulant_rows", lambda arrays: None)
    for topology in (Topology(GRAPHS["grid"]), random_regular(N, 4), erdos_renyi(N), hypercube(256)):
        values = np.linalg.eigvalsh(topology.matrix.toarray())
        low, high = extreme_eigenvalues(topology.matrix)
        assert 1 - low == pytest.approx(1 - values[0], rel=1e-4) and 1 - high == pytest.approx(1 - values[-2], rel=1e-4)


def test_adjacency_matrices_of_regular_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert second_adjacency_eigenvalue(star(5)) is None
    for topology in (random_regular(N, 4), ring(N), ring(N + 1), hypercube(256), Topology(nx.complete_graph(5))):
        adjacency = nx.to_numpy_array(topology.graph)
        values = np.linalg.eigvalsh(adjacency)
        degree = adjacency[0].sum()
        expected = np.abs(values[np.abs(np.abs(values) - degree) > 1e-9]).max()
        assert second_adjacency_eigenvalue(topology) == pytest.approx(expected, abs=1e-9)
        with monkeypatch.context() as patch:
            patch.setattr(eigenvalues, "DENSE_NODES", 1)
            assert second_adjacency_eigenvalue(topology) == pytest.approx(expected, abs=1e-9)
