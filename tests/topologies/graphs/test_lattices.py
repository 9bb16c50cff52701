"""Rings, paths, grids and cubes."""

import numpy as np
import pytest

from topologies import (
    generalized_hypercube,
    grid,
    hypercube,
    path,
    ring,
    spectral_gap,
    torus,
)


@pytest.mark.parametrize("base", [2, 3, 4])
def test_gap_of_generalized_hypercubes(base: int) -> None:
    gap = spectral_gap(generalized_hypercube(base**2, base))
    assert gap == pytest.approx(base / (1 + (base - 1) * 2), abs=1e-12)


def test_torus_places_nodes_row_by_row() -> None:
    topology = torus(12)
    assert topology.labels == tuple((r, c) for r in range(3) for c in range(4))
    assert topology.neighbors(0).tolist() == [1, 3, 4, 8]
    assert torus(12, rows=4).neighbors(0).tolist() == [1, 2, 3, 9]


def test_torus_dimension_of_two_is_a_single_edge() -> None:
    assert torus(4).in_degrees.tolist() == [2] * 4
    assert torus(8).in_degrees.tolist() == [3] * 8
    assert torus(32).graph.number_of_edges() == 64 and torus(32).labels[-1] == (3, 7)


@pytest.mark.parametrize("n", [2, 3])
def test_smallest_tori_are_rings(n: int) -> None:
    np.testing.assert_array_equal(torus(n).matrix.toarray(), ring(n).matrix.toarray())


@pytest.mark.parametrize("n", [5, 7, 11, 13, 97])
def test_torus_of_a_prime_names_the_nearest(n: int) -> None:
    with pytest.raises(ValueError, match=rf"^torus needs .*; {n} is prime; nearest are {n - 1} and {n + 1}$"):
        torus(n)
    torus(n - 1)
    torus(n + 1)


@pytest.mark.parametrize(
    ("n", "rows", "nearest"),
    [
        (12, 5, "10 and 15"),
        (7, 2, "6 and 8"),
        (12, 1, "12"),
        (12, 12, "24"),
        (12, 7, "14"),
        (7, 7, "14"),
        (12, 24, "48"),
    ],
)
def test_torus_with_rows_that_do_not_fit(n: int, rows: int, nearest: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^torus needs .*n = {n} and rows = {rows}; nearest n for \d+ rows: {nearest}$"
    ):
        torus(n, rows)
    for works in map(int, nearest.split(" and ")):
        torus(works, max(rows, 2))


def test_hypercube_links_numbers_that_differ_in_one_bit() -> None:
    topology = hypercube(16)
    for i in range(16):
        assert topology.neighbors(i).tolist() == sorted(i ^ (1 << k) for k in range(4))
    assert topology.labels is not None and topology.labels[6] == (0, 1, 1, 0)


@pytest.mark.parametrize(("n", "nearest"), [(3, "2 and 4"), (12, "8 and 16"), (17, "16 and 32")])
def test_hypercube_needs_a_power_of_two(n: int, nearest: str) -> None:
    with pytest.raises(ValueError, match=rf"^hypercube needs a power of two, got n = {n}; nearest are {nearest}$"):
        hypercube(n)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_path_eigenvalues(n: int) -> None:
    topology = path(n)
    assert set(topology.graph.edges) == {(i, i + 1) for i in range(n - 1)}
    if n >= 3:
        closed_form = 1 / 3 + 2 / 3 * np.cos(np.pi * np.arange(n) / n)
        np.testing.assert_allclose(np.linalg.eigvalsh(topology.matrix.toarray()), np.sort(closed_form), atol=1e-13)


def test_grid_has_no_edges_around_its_borders() -> None:
    topology = grid(12)
    assert topology.labels is not None and topology.labels[5] == (1, 1)
    assert topology.neighbors(0).tolist() == [1, 4] and topology.neighbors(5).tolist() == [1, 4, 6, 9]
    assert grid(12, rows=2).graph.number_of_edges() == 2 * 5 + 6
    with pytest.raises(ValueError, match=r"^grid needs .*; 13 is prime; nearest are 12 and 14$"):
        grid(13)
