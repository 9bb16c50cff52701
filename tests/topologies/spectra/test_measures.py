"""Measurements of topologies against closed forms and by hand."""

import networkx as nx
import numpy as np
import pytest

from topologies import (
    Links,
    Topology,
    base_graph,
    complete,
    exponential,
    one_peer_exponential,
    path,
    random_matching,
    random_out,
    random_regular,
    ring,
    smallest_eigenvalue,
    spectral_gap,
    star,
    torus,
)
from topologies.spectra import measures
from topologies.spectra.measures import (
    consensus_curve,
    diameter,
    effective_neighbors,
    effective_resistance,
    exact_after,
    measure,
    rounds_until_consensus,
)

LINKS = Links(latency=1e-3, bandwidth=1e6)


def test_all_numbers_of_a_ring() -> None:
    m = measure(ring(6), 1000, LINKS)
    assert (m.nodes, m.edges, m.period, m.diameter, m.min_degree, m.max_degree, m.mean_degree) == (6, 6, 1, 3, 2, 2, 2)
    assert m.symmetric and m.doubly_stochastic and not m.directed and m.exact_after is None
    assert m.second_eigenvalue == pytest.approx(2 / 3) and m.spectral_gap == pytest.approx(1 / 3)
    assert m.smallest_eigenvalue == pytest.approx(-1 / 3) and m.laplacian_norm == pytest.approx(4 / 3)
    assert m.bytes_per_round == 2 * 4000 and m.seconds_per_round == pytest.approx(1e-3 + 2 * 4000 / 1e6)
    x = np.random.default_rng(0).normal(size=(6, 4))
    start, rounds = np.linalg.norm(x - x.mean(axis=0)), 0
    while np.linalg.norm(x - x.mean(axis=0)) > 1e-6 * start:
        x, rounds = ring(6).matrix @ x, rounds + 1
    assert m.rounds_to_consensus == rounds and m.seconds_to_consensus == pytest.approx(rounds * m.seconds_per_round)
    assert m.effective_resistance == pytest.approx(np.mean([k * (6 - k) / 6 for k in range(1, 6)]))
    assert m.ramanujan and m.second_adjacency_eigenvalue == pytest.approx(1)
    assert set(m.record()) >= {"nodes", "edges", "spectral_gap", "second_eigenvalue", "smallest_eigenvalue", "diameter"}


def test_numbers_of_schedules_and_of_columns() -> None:
    m = measure(one_peer_exponential(8), 10, LINKS)
    assert (m.period, m.exact_after, m.rounds_to_consensus, m.contraction_per_round) == (3, 3, 3, 1.0)
    assert m.spectral_gap is None and m.mean_degree == 1 and m.edges == 24 and m.directed
    assert measure(base_graph(7), 10, LINKS).exact_after == base_graph(7).period
    column = measure(random_out(9), 10, LINKS)
    assert column.rounds_to_consensus is None and column.contraction_per_round is None and column.spectral_gap > 0
    endless = measure(random_matching(6), 10, LINKS)
    assert endless.period is None and endless.exact_after is None and endless.mean_degree == 1
    alone = measure(complete(1), 10, LINKS)
    assert alone.rounds_to_consensus == 0 and alone.spectral_gap == 1 and alone.effective_resistance == 0


@pytest.mark.parametrize("n", range(2, 34))
def test_one_peer_exponential_is_exact_after_log_n_rounds_iff_n_is_a_power_of_two(n: int) -> None:
    assert exact_after(one_peer_exponential(n)) == ((n - 1).bit_length() if n & (n - 1) == 0 else None)


def test_resistance() -> None:
    assert effective_resistance(path(5)) == pytest.approx(np.mean([abs(i - j) for i in range(5) for j in range(i)]))
    assert effective_resistance(complete(7)) == pytest.approx(2 / 7)
    assert effective_resistance(star(5)) == pytest.approx((4 * 1 + 6 * 2) / 10)


@pytest.mark.parametrize("schedule", [ring(8), exponential(6), one_peer_exponential(5), base_graph(5)], ids=str)
def test_effective_neighbors_by_running_the_noise(schedule) -> None:
    decay, n = 0.9, schedule.n
    total, P, period = np.zeros(schedule.period), np.eye(n), schedule.period
    for last in range(period):  # the variance after round `last`: noise that entered k rounds before
        P, scale = np.eye(n), 1.0
        for k in range(400):
            P = P @ schedule[(last - k) % period].matrix
            scale *= decay
            total[last] += scale * np.sum(P**2) / n
    expected = decay / (1 - decay) / total.mean()
    assert effective_neighbors(schedule, decay) == pytest.approx(expected, rel=1e-6)


def test_effective_neighbors_from_one_to_all() -> None:
    assert effective_neighbors(complete(9)) == pytest.approx(9)
    assert effective_neighbors(Topology(np.eye(4), connected=False)) == pytest.approx(1)
    assert 1 < effective_neighbors(ring(32), 0.5) < effective_neighbors(ring(32), 0.99) < 32


def test_consensus_is_given_up_after_some_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "WORK", 1000)
    assert rounds_until_consensus(consensus_curve(ring(50))) is None and len(consensus_curve(ring(50))) == 3


GRAPHS = [torus(1054), exponential(1010), random_regular(1010), Topology(nx.path_graph(1010))]


@pytest.mark.parametrize("topology", GRAPHS, ids=str)
def test_sparse_numbers_are_the_dense_ones(topology: Topology) -> None:
    W = topology.matrix.toarray()
    values = np.linalg.eigvalsh(W) if topology.symmetric else np.linalg.eigvals(W)
    gap = 1 - np.sort(np.abs(values))[-2]
    assert spectral_gap(topology) == pytest.approx(gap, rel=1e-6, abs=1e-12 if topology.symmetric else 1e-10)
    if topology.symmetric:
        assert smallest_eigenvalue(topology) == pytest.approx(values[0], abs=1e-9)


@pytest.mark.parametrize("topology", [ring(17), torus(30), exponential(21), complete(5), random_regular(12), star(9)])
def test_diameter(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = nx.diameter(topology.graph)
    assert diameter(topology.matrix) == exact
    monkeypatch.setattr(measures, "DIAMETER_NODES", 4)  # then of what looks the same from every node only
    assert diameter(topology.matrix) == (None if topology.name in ("random_regular", "star") else exact)


def test_numbers_of_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "WORK", 1000)
    m = measure(ring(6000), 10, LINKS)
    assert m.diameter == 3000 and m.effective_resistance is None and m.contraction_per_round is None
    assert m.spectral_gap == pytest.approx(2 / 3 * (1 - np.cos(2 * np.pi / 6000)), rel=1e-8)
