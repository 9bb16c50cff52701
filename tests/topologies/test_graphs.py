"""Graph families: edges, sizes that do and do not exist, weights."""

import inspect

import networkx as nx
import numpy as np
import pytest

from topologies import (
    FAMILIES,
    Topology,
    complete,
    elastic_averaging,
    erdos_renyi,
    exponential,
    grid,
    hypercube,
    path,
    random_out,
    random_regular,
    ring,
    spectral_gap,
    star,
    torus,
)

SIZES = {
    ring: range(1, 14),
    path: range(1, 14),
    complete: range(1, 14),
    star: range(1, 14),
    torus: [1, 2, 3, 4, 6, 8, 9, 12, 36],
    grid: [1, 2, 3, 4, 6, 8, 9, 12, 36],
    hypercube: [1, 2, 4, 8, 32],
    exponential: range(1, 18),
    erdos_renyi: range(1, 14),
    random_regular: range(5, 14),
}
CASES = [(family, n) for family, sizes in SIZES.items() for n in sizes]


@pytest.mark.parametrize(("family", "n"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_every_family(family, n: int) -> None:
    topology = family(n)
    assert isinstance(topology, Topology) and topology.n == n and topology.name == family.__name__
    assert topology.doubly_stochastic
    np.testing.assert_allclose(topology.matrix.sum(axis=1), 1, atol=1e-12)
    assert (topology.matrix.data > 0).all()
    assert topology.symmetric == (family is not exponential or n <= 3)
    assert (topology.in_degrees == topology.out_degrees).all()


def test_all_families_are_offered() -> None:
    others = {"elastic_averaging", "elastic_averaging_tree", "one_peer_exponential", "random_out", "randomized_gossip"}
    assert {family.__name__ for family in FAMILIES} == {family.__name__ for family in SIZES} | others


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_docstrings_describe_every_parameter(family) -> None:
    for parameter in inspect.signature(family).parameters:
        assert f"    {parameter}: " in family.__doc__.split("Args:")[1].split("Raises:")[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("n", [0, -3, 2.0, True, "4"])
def test_n_must_be_a_positive_int(family, n) -> None:
    with pytest.raises(ValueError, match=rf"^{family.__name__} needs n to be a whole number of at least 1, got .*$"):
        family(n)


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


def test_numpy_ints_are_ints() -> None:
    assert ring(np.int64(5)).n == 5


def test_edges_of_the_plain_families() -> None:
    assert set(map(frozenset, ring(5).graph.edges)) == {frozenset({i, (i + 1) % 5}) for i in range(5)}
    assert ring(2).graph.number_of_edges() == 1
    assert star(5).in_degrees.tolist() == [4, 1, 1, 1, 1]
    assert complete(6).graph.number_of_edges() == 15


def test_complete_is_the_exact_average() -> None:
    np.testing.assert_allclose(complete(7).matrix.toarray(), np.full((7, 7), 1 / 7), rtol=1e-14)


def test_weights_by_name() -> None:
    assert star(4, "uniform").doubly_stochastic is False
    assert star(4, "metropolis").doubly_stochastic is True
    with pytest.raises(ValueError, match="unknown weights 'x'"):
        torus(4, weights="x")


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


@pytest.mark.parametrize(("n", "hops"), [(2, [1]), (3, [1, 2]), (7, [1, 2, 4]), (8, [1, 2, 4]), (9, [1, 2, 4, 8])])
def test_exponential_sends_powers_of_two_ahead(n: int, hops: list[int]) -> None:
    topology = exponential(n)
    for i in range(n):
        for hop in hops:
            assert i in topology.neighbors((i + hop) % n)
    assert (topology.in_degrees == len(hops)).all()
    np.testing.assert_array_equal(topology.matrix.data, 1 / (1 + len(hops)))


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
    with pytest.raises(
        ValueError, match=r"^erdos_renyi found no connected graph in 1000 draws from seed 0: .*0\.23.*$"
    ):
        erdos_renyi(10, 0.0)


def test_random_regular_is_regular() -> None:
    assert (random_regular(20, 3).in_degrees == 3).all()
    assert random_regular(1, 0).n == 1 and random_regular(2, 1).n == 2
    assert random_regular(5).graph.number_of_edges() == 10  # complete


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: random_regular(4), "degree from 2 to n - 1 .* got n = 4 and degree = 4$"),
        (lambda: random_regular(5, 3), "n \\* degree even"),
        (lambda: random_regular(6, 1), "degree to be a whole number of at least 2, got 1$"),
        (lambda: random_regular(6, 2, seed=-1), "seed to be a whole number of at least 0, got -1$"),
        (lambda: erdos_renyi(6, 1.5), "probability between 0 and 1, got 1.5$"),
        (lambda: erdos_renyi(6, float("nan")), "probability between 0 and 1, got nan$"),
        (lambda: torus(6, 0), "rows to be a whole number of at least 1, got 0$"),
    ],
)
def test_other_parameters_are_checked(make, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


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


@pytest.mark.parametrize(("n", "degree"), [(1, 0), (2, 1), (5, 1), (16, 2), (16, 5), (6, 5)])
def test_random_out(n: int, degree: int) -> None:
    topology = random_out(n, degree, seed=3)
    assert topology.column_stochastic and topology.name == "random_out"
    assert topology.out_degrees.tolist() == [degree] * n
    assert set(topology.matrix.data) == {1 / (1 + degree)}
    assert topology.row_stochastic == (n <= 2 or degree in (1, n - 1))  # a cycle, or complete
    uniform = random_out(n, degree, seed=3, weights="uniform")
    assert uniform.row_stochastic and set(uniform.graph.edges) == set(topology.graph.edges)


def test_random_out_draws_from_its_seed() -> None:
    edges = [set(random_out(16, seed=seed).graph.edges) for seed in (0, 0, 7)]
    assert edges[0] == edges[1] != edges[2]
    for degree in (0, 16):
        with pytest.raises(ValueError, match="random_out needs"):
            random_out(16, degree)
