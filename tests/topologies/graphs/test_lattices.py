"""Graph families: edges, sizes that do and do not exist, weights."""

import inspect

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topologies.sizes import SIZES
from topologies import (
    FAMILIES,
    Topology,
    balanced_tree,
    barabasi_albert,
    barbell,
    binary_tree,
    chordal_cycle,
    circulant,
    complete,
    complete_multipartite,
    double_binary_tree,
    elastic_averaging,
    equi_topo,
    erdos_renyi,
    exponential,
    generalized_hypercube,
    grid,
    hierarchical,
    hypercube,
    karate_club,
    ladder,
    margulis_gabber_galil,
    one_way_ring,
    paley,
    path,
    ramanujan,
    random_out,
    random_regular,
    ring,
    spectral_gap,
    star,
    torus,
    two_cliques,
    watts_strogatz,
    wheel,
)
from topologies.graphs import random
from topologies.graphs.expanders import is_ramanujan
from topologies.weights.rules import find

BY_NAME = {family.__name__: family for family in FAMILIES}
NAMES = {"equi_topo": "u_equi_static", "networkx_graph": "petersen"}
WEIGHTED = [
    name for name, family in BY_NAME.items() if "weights" in inspect.signature(family).parameters and name != "file"
]


def test_all_families_have_sizes() -> None:
    assert set(BY_NAME) == set(SIZES) | {"file"}


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_every_family(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SIZES)))
    n = data.draw(st.sampled_from(SIZES[name]))
    t = data.draw(st.integers(0, 5))
    schedule = BY_NAME[name](n)
    each = schedule[t]
    W = each.matrix.toarray()
    assert schedule.n == each.n == n and schedule.name == NAMES.get(name, name)
    assert each.column_stochastic and (each.row_stochastic or name == "random_out")
    np.testing.assert_allclose(W.sum(axis=0), 1, atol=1e-12)
    if each.row_stochastic:
        np.testing.assert_allclose(W.sum(axis=1), 1, atol=1e-12)
    assert W.min() >= 0 or name.startswith(("elastic_averaging", "matcha"))
    if schedule.symmetric:
        np.testing.assert_allclose(W, W.T, atol=1e-12)
    allowed = nx.to_numpy_array(schedule.graph, nodelist=range(n)).T + np.eye(n)
    assert not ((W != 0) & (allowed == 0)).any()
    assert nx.is_strongly_connected(nx.DiGraph(schedule.graph))
    if isinstance(schedule, Topology):
        one = np.abs(np.linalg.eigvals(W) - 1) < 1e-9
        assert one.sum() == 1 and np.abs(np.linalg.eigvals(W)).max() < 1 + 1e-9


@given(st.sampled_from(WEIGHTED), st.sampled_from(["max_degree", "best_constant", "lazy_metropolis", "sinkhorn"]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_every_family_takes_weights(name: str, rule: str) -> None:
    if name == "random_out":
        rule = "sinkhorn"
    family, n = BY_NAME[name], SIZES[name][-1]
    topology = family(n, weights=rule)
    np.testing.assert_allclose(topology.matrix.toarray(), find(rule)(family(n).graph).toarray(), atol=1e-10)


EDGES = [  # by hand
    (one_way_ring(3), [(0, 1), (1, 2), (2, 0)]),
    (circulant(6, (2, 3)), [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 5)]),
    (binary_tree(5), [(0, 1), (0, 2), (1, 3), (1, 4)]),
    (double_binary_tree(4), [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]),
    (barbell(5), [(0, 1), (1, 2), (2, 3), (3, 4)]),
    (two_cliques(5, links=2), [(0, 1), (0, 2), (0, 3), (1, 2), (1, 4), (3, 4)]),
    (wheel(5), [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 4), (2, 3), (3, 4)]),
    (ladder(4), [(0, 1), (0, 2), (1, 3), (2, 3)]),
    (complete_multipartite(4), [(0, 2), (0, 3), (1, 2), (1, 3)]),
    (hierarchical(6, 3, "path"), [(0, 1), (0, 2), (2, 3), (2, 4), (4, 5)]),
    (paley(3), [(0, 1), (1, 2), (2, 0)]),
    (chordal_cycle(7), [(0, 1), (0, 6), (1, 2), (2, 3), (2, 4), (3, 4), (3, 5), (4, 5), (5, 6)]),
    (generalized_hypercube(4, 2), list(hypercube(4).graph.edges)),
]


@pytest.mark.parametrize(("topology", "edges"), EDGES, ids=lambda value: getattr(value, "name", ""))
def test_edges_by_hand(topology: Topology, edges: list[tuple[int, int]]) -> None:
    expected = nx.DiGraph(edges) if topology.graph.is_directed() else nx.Graph(edges)
    assert nx.utils.graphs_equal(type(expected)(topology.graph.edges), expected)


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


@pytest.mark.parametrize("base", [2, 3, 4])
def test_gap_of_generalized_hypercubes(base: int) -> None:
    gap = spectral_gap(generalized_hypercube(base**2, base))
    assert gap == pytest.approx(base / (1 + (base - 1) * 2), abs=1e-12)


def test_ramanujan_is_certified() -> None:
    for n, degree in ((12, 3), (50, 4), (64, 6)):
        topology = ramanujan(n, degree, seed=1)
        eigenvalues = np.sort(np.abs(np.linalg.eigvalsh(nx.to_numpy_array(topology.graph))))
        others = eigenvalues[np.abs(eigenvalues - degree) > 1e-9]
        assert others.max() <= 2 * np.sqrt(degree - 1) + 1e-9 and (topology.in_degrees == degree).all()
    assert not is_ramanujan(Topology(nx.circulant_graph(100, [1, 2])))
    assert not is_ramanujan(star(5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: generalized_hypercube(10), "a power of its base 3, got n = 10; nearest are 9 and 27"),
        (lambda: balanced_tree(8), "got n = 8; nearest are 7 and 15"),
        (lambda: barbell(3), "got n = 3 and bridge = 1; nearest n: 5"),
        (lambda: barbell(9, 2), "nearest n: 8 and 10"),
        (lambda: ladder(5), "even n, got n = 5; nearest are 4 and 6"),
        (lambda: margulis_gabber_galil(10), "a square, got n = 10; nearest are 9 and 16"),
        (lambda: chordal_cycle(9), "a prime, got n = 9; nearest are 7 and 11"),
        (lambda: paley(2), "an odd prime, got n = 2; nearest is 3"),
        (lambda: watts_strogatz(4), "got n = 4 and degree = 4; nearest n is 5"),
        (lambda: barabasi_albert(2), "n = 2 and links = 2; nearest n is 3"),
        (lambda: hierarchical(3, 4), "n = 3 and hosts = 4; nearest n is 4"),
        (lambda: karate_club(33), "karate_club has n = 34 nodes, got n = 33"),
        (lambda: hierarchical(4, graph="x"), "no graph 'x' of hosts, allowed are ring, path, complete, star"),
        (lambda: circulant(6, (2,)), "not connected"),
        (lambda: equi_topo(6, "x"), "no form 'x', allowed are u-static, d-static, od-dynamic, ou-dynamic"),
        (
            lambda: erdos_renyi(10**6, 0.3),
            "about 1.5e[+]11 edges, more than 2e[+]08; 1000000 nodes need",
        ),
        (lambda: two_cliques(6, 4), "from 1 to n // 2 = 3 links, got 4"),
    ],
)
def test_sizes_that_do_not_exist(make, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


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
    i, j = random._pairs(7, 1.0, np.random.default_rng(0))
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == {(a, b) for a in range(7) for b in range(a + 1, 7)}
    with pytest.raises(ValueError, match="found no connected graph"):
        erdos_renyi(60, 0.001)


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
