"""One-peer exponential graphs, and randomized gossip."""

import pickle

import networkx as nx
import numpy as np
import pytest

from topologies import (
    RandomizedGossip,
    Topology,
    complete,
    contraction_per_round,
    exponential,
    one_peer_exponential,
    path,
    randomized_gossip,
    ring,
    star,
)


def product(n: int) -> np.ndarray:
    result = np.eye(n)
    for each in one_peer_exponential(n):
        result = each.matrix @ result
    return result


@pytest.mark.parametrize("n", range(1, 34))
def test_average_is_exact_iff_n_is_a_power_of_two(n: int) -> None:
    exact = np.abs(product(n) - 1 / n).max() < 1e-15
    assert exact == (n & (n - 1) == 0)


@pytest.mark.parametrize(("n", "distance"), [(6, 0.22), (12, 0.21)])
def test_distance_from_the_average(n: int, distance: float) -> None:
    assert np.linalg.norm(product(n) - 1 / n, ord=2) == pytest.approx(distance, abs=0.005)


def test_round_t_sends_two_to_the_t_ahead() -> None:
    schedule = one_peer_exponential(11)
    assert len(schedule) == 4 and schedule.n == 11 and schedule.name == "one_peer_exponential"
    assert schedule.doubly_stochastic and not schedule.symmetric and not schedule.static
    for t in range(9):
        for i in range(11):
            assert schedule[t].neighbors(i).tolist() == [(i - 2 ** (t % 4)) % 11]
        assert set(schedule[t].matrix.data) == {0.5}


def test_one_and_two_nodes() -> None:
    assert one_peer_exponential(1)[3].matrix.toarray().tolist() == [[1.0]]
    assert one_peer_exponential(2)[0].matrix.toarray().tolist() == [[0.5, 0.5], [0.5, 0.5]]


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


def test_contraction_of_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="rows sum to 1"):
        contraction_per_round(Topology(nx.path_graph(3), "push"))
