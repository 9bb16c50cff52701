"""The tree of elastic averaging: its rounds by hand, their spectra in closed form, and its range."""

from __future__ import annotations

import math

import numpy as np
import pytest

from topologies import contraction_per_round, elastic_averaging_tree


def moved(x: np.ndarray, parents: list[int], alpha: float, nodes: range) -> np.ndarray:
    """A moving average along the edge of each of these nodes to its parent, all from the same x."""
    new = x.copy()
    for node in nodes:
        new[node] += alpha * (x[parents[node]] - x[node])
        new[parents[node]] += alpha * (x[node] - x[parents[node]])
    return new


def test_rounds_are_moving_averages_along_edges() -> None:
    tree = elastic_averaging_tree(11, groups=3, alpha=0.3, root_alpha=0.4, root_every=3)
    parents = [7, 7, 7, 8, 8, 9, 9, 10, 10, 10]
    x = np.random.default_rng(0).normal(size=(11, 2))
    for t in range(6):
        wanted = moved(x, parents, 0.4, range(7, 10)) if t % 3 == 2 else moved(x, parents, 0.3, range(7))
        np.testing.assert_allclose(tree[t].matrix @ x, wanted, atol=1e-14)
        x = wanted
    assert tree.symmetric and tree.doubly_stochastic and tree.period == 3


@pytest.mark.parametrize(("m", "groups"), [(1, 1), (3, 2), (4, 4)])
def test_spectra(m: int, groups: int) -> None:
    n = (m + 1) * groups + 1
    for alpha, root_alpha in ((None, None), (0.1, 0.2)):
        tree = elastic_averaging_tree(n, groups, alpha, root_alpha)
        a, b = alpha or 2 / (m + 2), root_alpha or 2 / (groups + 2)
        of_leaves = [1] * (groups + 1) + [1 - a] * (m - 1) * groups + [1 - (m + 1) * a] * groups
        of_root = [1] * (1 + m * groups) + [1 - b] * (groups - 1) + [1 - (groups + 1) * b]
        np.testing.assert_allclose(np.linalg.eigvalsh(tree[0].matrix.toarray()), sorted(of_leaves), atol=1e-12)
        np.testing.assert_allclose(np.linalg.eigvalsh(tree[1].matrix.toarray()), sorted(of_root), atol=1e-12)
        assert contraction_per_round(tree) > 0


@pytest.mark.parametrize(("m", "groups"), [(1, 1), (3, 2), (4, 4)])
def test_the_whole_range_contracts_and_its_end_does_not(m: int, groups: int) -> None:
    n = (m + 1) * groups + 1
    for option, edge in (("alpha", 2 / (m + 1)), ("root_alpha", 2 / (groups + 1))):
        assert contraction_per_round(elastic_averaging_tree(n, groups, **{option: math.nextafter(edge, 0) - 1e-3})) > 0
        for out in (edge, 0.0, math.nan):
            with pytest.raises(ValueError, match=rf"elastic_averaging_tree needs {option} in \(0, "):
                elastic_averaging_tree(n, groups, **{option: out})


def test_refusals() -> None:
    for options, says in (
        ({"n": 2}, "n of at least 3"),
        ({"n": 8, "groups": 4}, r"at most \(n - 1\) / 2 = 3"),
        ({"n": 8, "root_every": 1}, "root_every to be a whole number of at least 2"),
        ({"n": 8, "groups": 0}, "groups to be a whole number of at least 1"),
    ):
        with pytest.raises(ValueError, match=f"^elastic_averaging_tree needs .*{says}"):
            elastic_averaging_tree(**options)
