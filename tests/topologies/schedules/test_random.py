"""Schedules that are drawn round by round, and those of given graphs by turns."""

import pickle

import networkx as nx
import numpy as np
import pytest

from topologies import (
    Dropout,
    Matcha,
    RandomMatchings,
    Topology,
    alternating_hierarchical,
    complete,
    contraction_per_round,
    edge_dropout,
    exponential,
    gilbert_elliott,
    matcha,
    node_dropout,
    od_equi_dyn,
    ou_equi_dyn,
    random_matching,
    random_regular_rounds,
    ring,
    round_robin,
    spectral_gap,
    star,
    u_equi_static,
)
from topologies.schedules import matcha as matchings

ALL = [
    random_matching(7),
    random_regular_rounds(8, 3),
    od_equi_dyn(7),
    ou_equi_dyn(7),
    edge_dropout(7, probability=0.4),
    node_dropout(7, "star"),
    gilbert_elliott(7),
    matcha(12),
]


@pytest.mark.parametrize("schedule", ALL, ids=lambda schedule: schedule.name)
def test_a_round_follows_from_seed_and_number(schedule) -> None:
    first = [schedule[t].matrix.toarray() for t in range(12)]
    copy = pickle.loads(pickle.dumps(schedule))
    assert all((copy[t].matrix.toarray() == first[t]).all() for t in reversed(range(12)))
    assert not all((each == first[0]).all() for each in first) and schedule.period is None
    assert 0 < contraction_per_round(schedule) < 1
    assert str(schedule.seed) in repr(schedule)
    with pytest.raises(IndexError):
        schedule[-1]


def test_random_matchings_are_maximal() -> None:
    schedule = RandomMatchings(nx.path_graph(6), seed=3)
    seen = set()
    for t in range(40):
        busy = schedule[t].in_degrees == 1
        assert not any(not busy[i] and not busy[i + 1] for i in range(5)) and schedule[t].in_degrees.max() == 1
        seen |= {tuple(busy)}
    assert len(seen) > 1 and all((random_matching(8)[t].in_degrees == 1).all() for t in range(10))


def test_random_regular_rounds() -> None:
    rounds = [random_regular_rounds(9, 2, seed=1)[t] for t in range(5)]
    assert all((each.in_degrees == 2).all() and set(each.matrix.data) == {1 / 3} for each in rounds)
    with pytest.raises(ValueError, match="n = 5 and degree = 3; nearest n is 6"):
        random_regular_rounds(5, 3)


def test_equidyn() -> None:
    n = 7
    for t in range(20):
        W = od_equi_dyn(n, eta=0.5)[t].matrix.toarray()
        (u,) = {(i - int(np.flatnonzero(W[i] * (np.arange(n) != i))[0])) % n for i in range(n)}
        np.testing.assert_allclose(W, 0.5 * np.eye(n) + 0.5 * (6 / 7 * np.roll(np.eye(n), u, axis=0) + np.eye(n) / 7))
        V = ou_equi_dyn(n, eta=1.0)[t]
        assert V.symmetric and V.in_degrees.max() == 1 and V.in_degrees.sum() >= 4
        assert {round(value, 12) for value in V.matrix.data} <= {round(6 / 7, 12), round(1 / 7, 12), 1.0}
    # E[W^T W] = (a^2 + b^2) I + 2 a b E[S], E[S] = (n J - I) / (n - 1), a + b = 1
    b = 0.5 * 6 / 7
    rate = (1 - b) ** 2 + b**2 - 2 * (1 - b) * b / (n - 1)
    assert 1 - contraction_per_round(od_equi_dyn(n)) == pytest.approx(np.sqrt(rate), abs=0.05)
    assert spectral_gap(u_equi_static(64, 6)) > 0.15
    with pytest.raises(ValueError, match=r"eta in \(0, 1\], got 0"):
        od_equi_dyn(5, eta=0)


def test_dropout_gives_the_weight_back() -> None:
    base = star(5)
    schedule = edge_dropout(5, "star", 0.5)
    counts = np.zeros(4)
    for t in range(300):
        W = schedule[t].matrix.toarray()
        down = (base.matrix.toarray() != 0) & (W == 0)
        expected = base.matrix.toarray() + np.diag((base.matrix.toarray() * down).sum(axis=1))
        np.testing.assert_allclose(W, np.where(down, 0, expected), atol=1e-15)
        counts += down[0, 1:]
    assert counts / 300 == pytest.approx(np.full(4, 0.5), abs=0.12)
    nodes = node_dropout(6, "complete", 0.5)
    for t in range(20):
        degrees = nodes[t].in_degrees
        up = degrees > 0
        assert set(degrees[up]) <= {up.sum() - 1}


@pytest.mark.parametrize(("fail", "repair"), [(0.1, 0.2), (0.9, 0.6), (0.3, 0.7)])
def test_gilbert_elliott_is_its_markov_chain(fail: float, repair: float) -> None:
    schedule = Dropout(complete(20), fail, repair, seed=2)
    down = np.stack([schedule.down(t) for t in range(120)])  # (rounds, edges)
    before, after = down[:-1], down[1:]
    for state, rate in ((False, fail), (True, 1 - repair)):
        among = after[before == state]
        assert among.mean() == pytest.approx(rate, abs=5 * np.sqrt(0.25 / among.size))
    assert down[0].mean() == pytest.approx(fail / (fail + repair), abs=5 * np.sqrt(0.25 / 190))
    half = Dropout(complete(20), fail, repair, loss=0.5, seed=2)
    lost = np.stack([half.down(t) for t in range(60)])
    assert (down[:60] | ~lost).all() and lost.mean() == pytest.approx(down[:60].mean() / 2, abs=0.03)


def test_no_failures_are_the_base() -> None:
    np.testing.assert_allclose(Dropout(ring(5), 0, 1)[3].matrix.toarray(), ring(5).matrix.toarray())
    for base in (exponential(8), edge_dropout(4)):
        with pytest.raises(ValueError, match="static and symmetric"):
            Dropout(base, 0.1, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="between 0 and 1, got"):
        edge_dropout(5, probability=1.5)


@pytest.mark.parametrize("seed", range(8))
def test_matchings_are_few_and_cover_all_edges(seed: int) -> None:
    topology = Topology(nx.gnp_random_graph(11, 0.2 + 0.1 * seed, seed=seed), connected=False)
    parts = matchings.matchings(topology)
    assert len(parts) <= topology.in_degrees.max(initial=0) + 1
    assert all(len(np.unique(part)) == part.size for part in parts)
    assert {tuple(edge) for part in parts for edge in part.tolist()} == {
        tuple(sorted(edge)) for edge in topology.graph.edges
    }


def test_matcha_spends_its_budget_well() -> None:
    graph = nx.barbell_graph(4, 0)
    schedule = Matcha(graph, 0.5)
    p = schedule.probabilities
    assert p.sum() == pytest.approx(0.5 * len(p), abs=1e-6) and p.min() >= 0 and p.max() <= 1
    bridge = next(j for j, part in enumerate(schedule.matchings) if [3, 4] in part.tolist())
    assert p[bridge] == p.max()  # without the bridge nothing is averaged
    even = sum(0.5 * each.toarray() for each in schedule._laplacians)
    best = sum(q * each.toarray() for q, each in zip(p, schedule._laplacians, strict=True))
    assert np.linalg.eigvalsh(best)[1] > np.linalg.eigvalsh(even)[1] + 1e-3
    samples = np.mean([(W := schedule[t].matrix.toarray()).T @ W for t in range(2000)], axis=0)
    np.testing.assert_allclose(samples, schedule.second_moment(), atol=0.05)
    assert schedule.rho == pytest.approx(np.linalg.norm(schedule.second_moment() - 1 / 8, 2), abs=1e-9)
    assert 1 - contraction_per_round(schedule) == pytest.approx(np.sqrt(schedule.rho))
    whole = Matcha(graph, 1.0)
    assert (whole.probabilities == 1).all() and whole[0].graph.number_of_edges() == 13
    for budget in (0, 1.1):
        with pytest.raises(ValueError, match=r"budget in \(0, 1\]"):
            Matcha(graph, budget)


def test_probabilities_by_cvxpy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cvxpy")
    exact = matcha(16).probabilities
    monkeypatch.setattr(matchings, "find_spec", lambda name: None)
    np.testing.assert_allclose(matcha(16).probabilities, exact, atol=5e-3)


def test_hosts_and_graphs_by_turns() -> None:
    schedule = alternating_hierarchical(6, 2)
    np.testing.assert_allclose(schedule[0].matrix.toarray(), np.kron(np.eye(2), np.full((3, 3), 1 / 3)))
    np.testing.assert_allclose(schedule[1].matrix.toarray(), np.kron(np.full((2, 2), 1 / 2), np.eye(3)))
    assert contraction_per_round(schedule) == 1  # two equal hosts
    turns = round_robin(5, ("ring", "star"))
    assert turns[0].in_degrees.max() == 2 and turns[3].in_degrees.max() == 4 and turns.period == 2
    with pytest.raises(ValueError, match="no base graph 'x'"):
        round_robin(5, ("ring", "x"))
