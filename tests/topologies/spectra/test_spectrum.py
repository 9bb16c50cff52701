"""Spectra against closed forms and measured tables."""

import networkx as nx
import numpy as np
import pytest

from topologies import (
    Schedule,
    Topology,
    complete,
    contraction_per_round,
    exponential,
    hypercube,
    laplacian_norm,
    one_peer_exponential,
    random_regular,
    ring,
    smallest_eigenvalue,
    spectral_gap,
    star,
    torus,
)
from topologies.spectra import spectrum as spectrum_module


def close(value: float, expected: float) -> bool:
    return value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [3, 4, 7, 16])
def test_ring_eigenvalues(n: int) -> None:
    eigenvalues = np.linalg.eigvalsh(ring(n).matrix.toarray())
    closed_form = 1 / 3 + 2 / 3 * np.cos(2 * np.pi * np.arange(n) / n)
    np.testing.assert_allclose(eigenvalues, np.sort(closed_form), atol=1e-13)
    assert close(spectral_gap(ring(n)), 1 - np.sort(np.abs(closed_form))[-2])


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (3, 5), (4, 7)])
def test_torus_eigenvalues(rows: int, columns: int) -> None:
    a, b = (2 * np.cos(2 * np.pi * np.arange(m) / m) for m in (rows, columns))
    eigenvalues = np.linalg.eigvalsh(torus(rows * columns, rows).matrix.toarray())
    np.testing.assert_allclose(eigenvalues, np.sort(np.add.outer(a, b).ravel() + 1) / 5, atol=1e-13)


@pytest.mark.parametrize("dimension", [0, 1, 3, 5])
def test_hypercube_eigenvalues(dimension: int) -> None:
    eigenvalues = np.linalg.eigvalsh(hypercube(2**dimension).matrix.toarray())
    expected = [(1 + dimension - 2 * bin(k).count("1")) / (1 + dimension) for k in range(2**dimension)]
    np.testing.assert_allclose(eigenvalues, np.sort(expected), atol=1e-13)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_complete_and_star_eigenvalues(n: int) -> None:
    np.testing.assert_allclose(np.linalg.eigvalsh(complete(n).matrix.toarray()), [0] * (n - 1) + [1], atol=1e-13)
    expected = np.sort([0, *[1 - 1 / n] * (n - 2), 1])
    np.testing.assert_allclose(np.linalg.eigvalsh(star(n).matrix.toarray()), expected, atol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_complete_gap(n: int) -> None:
    assert close(spectral_gap(complete(n)), 1)


@pytest.mark.parametrize("n", [3, 5, 16, 64])
def test_star_gap(n: int) -> None:
    assert close(spectral_gap(star(n)), 1 / n)


@pytest.mark.parametrize("dimension", [1, 2, 3, 6])
def test_hypercube_gap(dimension: int) -> None:
    assert close(spectral_gap(hypercube(2**dimension)), 2 / (1 + dimension))


@pytest.mark.parametrize("n", [2, 4, 6, 10, 16, 32, 64, 100])
def test_exponential_gap_of_even_n(n: int) -> None:
    assert close(spectral_gap(exponential(n)), 2 / (1 + (n - 1).bit_length()))


@pytest.mark.parametrize("n", [5, 9, 33])
def test_exponential_gap_of_odd_n_is_larger(n: int) -> None:
    assert spectral_gap(exponential(n)) > 2 / (1 + (n - 1).bit_length()) + 1e-3


@pytest.mark.parametrize(
    ("graph", "gap"),
    [
        (ring(16), 0.0507),
        (ring(64), 0.0032),
        (torus(16), 0.400),
        (torus(64), 0.117),
        (hypercube(64), 0.286),
        (star(16), 0.0625),
        (Topology(nx.barbell_graph(8, 0)), 0.0227),
        (Topology(nx.barbell_graph(32, 0)), 0.0018),
    ],
    ids=str,
)
def test_measured_table(graph: Topology, gap: float) -> None:
    assert spectral_gap(graph) == pytest.approx(gap, abs=0.0005 if gap > 0.1 else 0.00005)


def test_negative_eigenvalues_count() -> None:
    assert close(spectral_gap(Topology([[0.0, 1.0], [1.0, 0.0]])), 0)
    assert close(spectral_gap(Topology([[0.1, 0.9], [0.9, 0.1]])), 0.2)


def test_gap_of_a_row_stochastic_matrix() -> None:
    topology = Topology([[0.9, 0.1], [0.5, 0.5]])  # eigenvalues 1 and 0.4
    assert close(spectral_gap(topology), 0.6)


@pytest.mark.parametrize(
    ("topology", "gap"),
    [
        (hypercube(2048), 2 / 12),
        (star(1200), 1 / 1200),
        (torus(2500), 0.4 * (1 - np.cos(2 * np.pi / 50))),
        (ring(20_000), 2 / 3 * (1 - np.cos(2 * np.pi / 20_000))),  # so slow that ARPACK alone gives up
        (exponential(2000), 2 / 12),
        (Topology(np.full((1100, 1100), 1 / 1100)), 1),  # W - J is nothing but rounding
    ],
    ids=str,
)
def test_large_graphs(topology: Topology, gap: float) -> None:
    assert topology.n > spectrum_module.DENSE_NODES
    assert spectral_gap(topology) == pytest.approx(gap, rel=1e-5)


def test_schedule_has_no_spectral_gap() -> None:
    with pytest.raises(ValueError, match=r"use contraction_per_round\(schedule\)$"):
        spectral_gap(one_peer_exponential(4))  # type: ignore[arg-type]


@pytest.mark.parametrize("topology", [ring(9), star(6), torus(12), complete(5), ring(1)], ids=str)
def test_contraction_of_a_symmetric_topology_is_its_gap(topology: Topology) -> None:
    assert close(contraction_per_round(topology), spectral_gap(topology))
    assert close(contraction_per_round(Schedule([topology] * 3)), spectral_gap(topology))


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_contraction_of_an_exact_average(n: int) -> None:
    assert contraction_per_round(one_peer_exponential(n)) == 1.0


def test_contraction_forgives_rounding() -> None:
    """Averaging in threes, then in twos, is exact but for the last bits of 1/3."""
    threes, twos = nx.disjoint_union(*[nx.complete_graph(3)] * 2), nx.Graph([(0, 3), (1, 4), (2, 5)])
    twos.add_nodes_from(range(6))
    ordered = nx.Graph()
    ordered.add_nodes_from(range(6))
    ordered.add_edges_from(twos.edges)
    rounds = [Topology(threes, connected=False), Topology(ordered, connected=False)]
    assert contraction_per_round(Schedule(rounds)) == 1.0


def test_contraction_takes_the_root_over_the_period() -> None:
    assert contraction_per_round(one_peer_exponential(6)) == pytest.approx(1 - 0.22 ** (1 / 3), abs=0.005)


@pytest.mark.parametrize(("topology", "least"), [(ring(8), -1 / 3), (complete(5), 0), (complete(1), 1)], ids=str)
def test_smallest_eigenvalue(topology: Topology, least: float) -> None:
    assert close(smallest_eigenvalue(topology), least)


def test_smallest_eigenvalue_of_a_large_matrix() -> None:
    topology = random_regular(1010, degree=4)  # of more than 1000 nodes it is not computed densely
    assert close(smallest_eigenvalue(topology), np.linalg.eigvalsh(topology.matrix.toarray())[0])


@pytest.mark.parametrize("topology", [exponential(8), one_peer_exponential(8)], ids=str)
def test_smallest_eigenvalue_is_that_of_a_symmetric_matrix(topology: Schedule) -> None:
    with pytest.raises(ValueError, match="symmetric"):
        smallest_eigenvalue(topology)


def test_laplacian_norm_of_a_large_directed_graph() -> None:
    topology = exponential(1010)  # of more than 1000 nodes it is not computed densely
    assert close(laplacian_norm(topology), np.linalg.norm(np.eye(1010) - topology.matrix.toarray(), ord=2))


def test_contraction_of_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="rows sum to 1"):
        contraction_per_round(Topology(nx.path_graph(3), "push"))
