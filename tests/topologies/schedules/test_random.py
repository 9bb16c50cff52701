"""Schedules that are drawn round by round."""

import pickle

import networkx as nx
import numpy as np
import pytest

from topologies import (
    RandomizedGossip,
    RandomMatchings,
    complete,
    contraction_per_round,
    edge_dropout,
    exponential,
    gilbert_elliott,
    matcha,
    node_dropout,
    od_equi_dyn,
    one_peer_exponential,
    ou_equi_dyn,
    path,
    random_matching,
    random_regular_rounds,
    randomized_gossip,
    ring,
    star,
)

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


GOSSIP = [randomized_gossip(6), randomized_gossip(7, "ring", seed=2), RandomizedGossip(star(5)), randomized_gossip(1)]


@pytest.mark.parametrize("schedule", GOSSIP, ids=str)
def test_each_round_of_randomized_gossip_averages_one_pair(schedule: RandomizedGossip) -> None:
    edges = {frozenset(edge) for edge in schedule.base.graph.edges}
    seen = set()
    for t in range(200):
        W = schedule[t].matrix.toarray()
        pair = frozenset(np.flatnonzero(W.diagonal() != 1).tolist())
        expected = np.eye(schedule.n)
        for i in pair:
            expected[i, list(pair)] = 1 / 2
        np.testing.assert_array_equal(W, expected)
        assert schedule[t].symmetric and schedule[t].doubly_stochastic and schedule[t].n == schedule.n
        seen |= {pair}
    assert seen == edges or schedule.n == 1
    assert schedule.symmetric and schedule.doubly_stochastic and not schedule.static
    assert set(schedule.graph.edges) == set(schedule.base.graph.edges)


def test_a_round_of_randomized_gossip_follows_from_seed_and_number() -> None:
    def pairs(seed: int, rounds: range) -> list[list[int]]:
        return [schedule[t].arrays.indices.tolist() for schedule in (randomized_gossip(9, seed=seed),) for t in rounds]

    assert pairs(0, range(30)) == pairs(0, range(29, -1, -1))[::-1] != pairs(1, range(30))
    copy = pickle.loads(pickle.dumps(randomized_gossip(9)))
    assert copy[10**12].arrays.indices.tolist() == randomized_gossip(9)[10**12].arrays.indices.tolist()


@pytest.mark.parametrize("schedule", GOSSIP, ids=str)
def test_mean_of_randomized_gossip(schedule: RandomizedGossip) -> None:
    n, base = schedule.n, schedule.base
    expected = np.zeros((n, n))  # over who wakes and whom it calls
    for i in range(n):
        others = base.neighbors(i).tolist() or [i]
        for j in others:
            e = np.eye(n)[i] - np.eye(n)[j]
            expected += (np.eye(n) - np.outer(e, e) / 2) / (n * len(others))
    np.testing.assert_allclose(schedule.mean.matrix.toarray(), expected, atol=1e-14)
    rounds = 4000
    measured = sum(schedule[t].matrix.toarray() for t in range(rounds)) / rounds
    assert np.abs(measured - expected).max() < 5 * np.sqrt(0.25 / rounds)


def test_randomized_gossip_contracts_as_its_mean_says() -> None:
    # In the direction of the second eigenvector E|x - average|^2 shrinks by lambda_2(E[W]) exactly, in one round.
    schedule = randomized_gossip(6, "path")
    eigenvalues, vectors = np.linalg.eigh(schedule.mean.matrix.toarray())
    x = vectors[:, -2]
    shrunk = np.mean([np.sum((schedule[t].matrix @ x) ** 2) for t in range(2000)])
    assert shrunk == pytest.approx(eigenvalues[-2], abs=0.015)
    assert contraction_per_round(schedule) == pytest.approx(1 - np.sqrt(eigenvalues[-2]), abs=1e-12)
    for n in (2, 3, 10):
        assert contraction_per_round(randomized_gossip(n)) == pytest.approx(1 - np.sqrt(1 - 1 / (n - 1)), abs=1e-7)
    # On the complete graph every direction shrinks alike: exponentially at that rate over many rounds.
    n, rounds, draws = 6, 8, 150
    start = np.random.default_rng(0).normal(size=n)
    start -= start.mean()
    left = 0.0
    for seed in range(draws):
        gossip, x = randomized_gossip(n, seed=seed), start
        for t in range(rounds):
            x = gossip[t].matrix @ x
        left += x @ x / draws
    assert left / (start @ start) == pytest.approx((1 - 1 / (n - 1)) ** rounds, rel=0.3)


def test_randomized_gossip_has_no_period() -> None:
    schedule = randomized_gossip(4, "ring", seed=5)
    assert schedule.period is None and one_peer_exponential(4).period == 2 and ring(4).period == 1
    assert "seed=5" in repr(schedule) and "ring" in repr(schedule)
    for ask in (len, list, iter):
        with pytest.raises(TypeError, match=r"^randomized_gossip never repeats"):
            ask(schedule)
    assert schedule  # Python would ask for its length
    with pytest.raises(IndexError):
        schedule[-1]


def test_base_graphs_of_randomized_gossip() -> None:
    assert set(RandomizedGossip(nx.path_graph(3)).graph.edges) == set(path(3).graph.edges)
    assert randomized_gossip(5).base.graph.edges == complete(5).graph.edges
    for base in (exponential(8), one_peer_exponential(8)):
        with pytest.raises(ValueError, match="undirected and static"):
            RandomizedGossip(base)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no base graph 'rings', allowed are complete, ring, "):
        randomized_gossip(5, "rings")
    with pytest.raises(ValueError, match="seed to be a whole number"):
        randomized_gossip(5, seed=-1)
