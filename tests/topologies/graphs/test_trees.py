"""Trees: the two trees over the same nodes, and the spectrum of elastic averaging."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from topologies import double_binary_tree, elastic_averaging, spectral_gap


@pytest.mark.parametrize("n", [2, 8, 13, 32])
def test_inner_nodes_of_one_tree_are_leaves_of_the_other(n: int) -> None:
    lowest = np.arange(1, n) & -np.arange(1, n)
    above = (np.arange(1, n) ^ lowest) | (lowest << 1)
    first = nx.Graph(zip(range(1, n), np.where(above < n, above, np.arange(1, n) ^ lowest).tolist(), strict=True))
    second = nx.relabel_nodes(first, {r: n - 1 - r if n % 2 == 0 else (r + 1) % n for r in range(n)})
    both = set(map(frozenset, first.edges)) | set(map(frozenset, second.edges))
    assert set(map(frozenset, double_binary_tree(n).graph.edges)) == both
    inner = [{i for i in range(n) if tree.degree(i) > 1} for tree in (first, second)]
    assert len(inner[0] & inner[1]) <= 1 and nx.is_tree(first)


@pytest.mark.parametrize("m", [1, 2, 4, 8, 15])
def test_spectrum_of_elastic_averaging(m: int) -> None:
    for alpha in (0.05, 0.9 / m, 2 / (m + 2)):
        W = elastic_averaging(m + 1, alpha).matrix.toarray()
        expected = sorted([1, *[1 - alpha] * (m - 1), 1 - (m + 1) * alpha])
        np.testing.assert_allclose(np.linalg.eigvalsh(W), expected, atol=1e-12)
    best = elastic_averaging(m + 1)
    assert best.matrix[0, m] == pytest.approx(2 / (m + 2))
    assert 1 - spectral_gap(best) == pytest.approx(m / (m + 2) if m > 1 else 1 / 3)
    for alpha in (0.0, 2 / (m + 1), float("nan")):
        with pytest.raises(ValueError, match="elastic_averaging needs alpha in"):
            elastic_averaging(m + 1, alpha)
    with pytest.raises(ValueError, match="needs a node beside the anchor"):
        elastic_averaging(1)
