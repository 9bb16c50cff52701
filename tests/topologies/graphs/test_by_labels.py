"""Topologies that know the labels of the nodes."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from topologies import d_cliques, spectral_gap, stl_fw

SKEWED = np.random.default_rng(0).dirichlet(np.full(5, 0.2), size=20)


def test_stl_fw_lowers_its_objective_with_each_step() -> None:
    def objective(W: np.ndarray) -> float:
        mean = SKEWED.mean(axis=0)
        return float(np.sum((W @ SKEWED - mean) ** 2) + 0.1 * np.sum((W - 1 / 20) ** 2)) / 20

    values = []
    for degree in range(3, 9):
        topology = stl_fw(20, degree, histograms=SKEWED * 30)
        assert topology.doubly_stochastic and topology.in_degrees.max() <= degree >= topology.out_degrees.max()
        assert topology.matrix.min() >= 0
        values.append(objective(topology.matrix.toarray()))
    assert values == sorted(values, reverse=True) and values[-1] < objective(np.eye(20)) / 20
    one_label = stl_fw(20, 9)  # node i and node i + 10 have label i: all labels are heard after nine steps
    labels = np.eye(10)[np.arange(20) % 10]
    np.testing.assert_allclose(one_label.matrix @ labels, 1 / 10, atol=0.02)
    assert spectral_gap(one_label) > 0.05


def test_stl_fw_refusals(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", SKEWED)
    assert stl_fw(20, 5, histograms=str(tmp_path / "labels.npy")).n == 20
    with pytest.raises(ValueError, match="1 steps do not connect 20 nodes, raise the degree"):
        stl_fw(20, 1)
    with pytest.raises(ValueError, match=r"histograms of shape \(19, labels\).*got shape \(20, 5\)"):
        stl_fw(19, histograms=SKEWED)
    with pytest.raises(ValueError, match=r"cannot take histograms from nowhere\.npy"):
        d_cliques(3, histograms="nowhere.npy")


def test_d_cliques_have_everybodys_labels() -> None:
    topology = d_cliques(40)
    cliques = [clique for clique in nx.find_cliques(topology.graph) if len(clique) == 10]
    assert len(cliques) == 4 and all({i % 10 for i in clique} == set(range(10)) for clique in cliques)
    assert topology.graph.number_of_edges() == 4 * 45 + 4 and topology.in_degrees.max() <= 10
    uneven = d_cliques(13, size=5, graph="path", histograms=np.random.default_rng(1).random((13, 3)))
    assert uneven.graph.number_of_edges() == 10 + 6 + 6 + 2
