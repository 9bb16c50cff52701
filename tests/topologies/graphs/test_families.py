"""What holds for every family of topologies: sizes that do and do not exist, edges, weights, docstrings."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from tests.conftest import Run
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
    equi_topo,
    erdos_renyi,
    exponential,
    generalized_hypercube,
    hierarchical,
    hypercube,
    karate_club,
    ladder,
    margulis_gabber_galil,
    one_way_ring,
    paley,
    path,
    random_regular,
    ring,
    spectral_gap,
    star,
    symmetric_exponential,
    torus,
    two_cliques,
    watts_strogatz,
    wheel,
)
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


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_docstrings_describe_every_parameter(family) -> None:
    for parameter in inspect.signature(family).parameters:
        assert f"    {parameter}: " in family.__doc__.split("Args:")[1].split("Raises:")[0]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("n", [0, -3, 2.0, True, "4"])
def test_n_must_be_a_positive_int(family, n) -> None:
    with pytest.raises(ValueError, match=rf"^{family.__name__} needs n to be a whole number of at least 1, got .*$"):
        family(n)


def test_numpy_ints_are_ints() -> None:
    assert ring(np.int64(5)).n == 5


def test_edges_of_the_plain_families() -> None:
    assert set(map(frozenset, ring(5).graph.edges)) == {frozenset({i, (i + 1) % 5}) for i in range(5)}
    assert ring(2).graph.number_of_edges() == 1
    assert star(5).in_degrees.tolist() == [4, 1, 1, 1, 1]
    assert complete(6).graph.number_of_edges() == 15


def test_weights_by_name() -> None:
    assert star(4, "uniform").doubly_stochastic is False
    assert star(4, "metropolis").doubly_stochastic is True
    with pytest.raises(ValueError, match="unknown weights 'x'"):
        torus(4, weights="x")


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


GAPS = [  # the formulas of the docstrings
    *((ring(n), 2 / 3 * (1 - np.cos(2 * np.pi / n))) for n in (4, 9)),
    *((path(n), 2 / 3 * (1 - np.cos(np.pi / n))) for n in (4, 9)),
    *((one_way_ring(n), 1 - np.cos(np.pi / n)) for n in (3, 8)),
    *((hypercube(n), 2 / (1 + np.log2(n))) for n in (4, 32)),
    *((star(n), 1 / n) for n in (5, 12)),
    *((wheel(n), 1 / n + (1 - np.cos(2 * np.pi / (n - 1))) / 2) for n in (5, 6, 12)),
    *((complete_multipartite(n, n // s), 1 - (s - 1) / (1 + n - s)) for n, s in ((6, 1), (6, 2), (12, 4))),
    *((paley(n), 1 - (1 + np.sqrt(n)) / (n + 1)) for n in (5, 13)),
    *((paley(n), 1 - 1 / np.sqrt(n + 1)) for n in (3, 7, 11)),
    *((exponential(n), 2 / (1 + np.ceil(np.log2(n)))) for n in (4, 6, 16)),
    (random_regular(4000, 4), 1 - (1 + 2 * np.sqrt(3)) / 5),
]


@pytest.mark.parametrize(("topology", "gap"), GAPS, ids=lambda value: getattr(value, "name", ""))
def test_gaps_by_formula(topology: Topology, gap: float) -> None:
    assert spectral_gap(topology) == pytest.approx(gap, abs=1e-10 if topology.n < 100 else 0.01)


def test_eigenvalues_by_formula() -> None:
    a, b = np.divmod(np.arange(12), 4)
    of_torus = 1 / 5 + 2 / 5 * np.cos(2 * np.pi * a / 3) + 2 / 5 * np.cos(2 * np.pi * b / 4)
    of_circulant = (1 + 2 * sum(np.cos(2 * np.pi * np.arange(11) * offset / 11) for offset in (1, 3))) / 5
    for topology, expected in ((torus(12), of_torus), (circulant(11, (1, 3)), of_circulant)):
        np.testing.assert_allclose(np.linalg.eigvalsh(topology.matrix.toarray()), np.sort(expected), atol=1e-12)
    assert (symmetric_exponential(32).in_degrees == 9).all()


def test_a_new_family_is_one_file_and_one_import_line(tmp_path: Path, python: Run) -> None:
    shutil.copytree(Path(topologies.__file__).parent, tmp_path / "topologies")
    (tmp_path / "topologies/graphs/windmill.py").write_text(
        '"""Windmill graphs."""\n\n'
        "import networkx as nx\n\n"
        "from topologies.graphs.arguments import count\n"
        "from topologies.topology import Topology\n\n"
        '__all__ = ["windmill"]\n\n\n'
        "def windmill(n: int) -> Topology:\n"
        '    """Windmill: triangles that share node 0."""\n'
        '    return Topology(nx.windmill_graph(count("windmill", n) // 2, 3), name="windmill")\n'
    )
    with (tmp_path / "topologies/__init__.py").open("r+") as file:
        text = file.read()
        line = "from topologies.graphs.trees import *\n"
        file.seek(0)
        file.write(text.replace(line, f"{line}from topologies.graphs.windmill import *\n"))
    done = python("-m", "topologies", "describe", "windmill", "--nodes", "7", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert re.search(r"edges +9\n", done.stdout)
    listed = python("-m", "topologies", "list", env={"PYTHONPATH": str(tmp_path)}).stdout
    assert re.search(r"^windmill +Windmill: triangles", listed, re.MULTILINE)
    exported = "from topologies import windmill, __all__; print(windmill(5), 'windmill' in __all__)"
    assert "True" in python("-c", exported, env={"PYTHONPATH": str(tmp_path)}).stdout
