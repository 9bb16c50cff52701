"""Gossip averaging and push-sum averaging, which use no gradients."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import DecentralizedSGD, GossipAveraging, PushSumAveraging
from tests.algorithms.decentralized.push_sum_graphs import DOUBLY, GRAPHS, products
from tests.algorithms.helpers import ALL, dense, flat, least_squares, run, starts
from topologies import RandomizedGossip, Schedule, Topology, complete, one_peer_exponential, random_out, ring

ROWS: dict[str, Schedule] = {"rows-9": Topology(random_out(9).graph, "uniform")}
GOSSIP = ALL | ROWS | {"randomized-6": RandomizedGossip(ring(6), seed=2)}


@pytest.mark.parametrize("topology", GOSSIP.values(), ids=GOSSIP)
def test_gossip_averaging_is_products_of_matrices_whatever_the_gradients(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(GossipAveraging(), topology, problem, x, 200)
    assert np.abs(got.models - np.stack([W @ x for W in products(topology, 200)])).max() <= 1e-12
    assert got.rounds == 200


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
def test_push_sum_averaging_is_a_quotient_of_products(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(PushSumAveraging(), topology, problem, x, 200)
    wanted = [(P @ x) / (P @ np.ones((topology.n, 1))) for P in products(topology, 200)]
    assert np.abs(got.models - np.stack(wanted)).max() <= 1e-11


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
def test_push_sum_finds_the_exact_average_on_any_of_them(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    final = run(PushSumAveraging(), topology, problem, x, 600).final
    assert np.abs(final - x.mean(axis=0)).max() <= 1e-12


def test_gossip_averaging_by_rows_finds_another_average() -> None:
    topology = ROWS["rows-9"]
    problem = least_squares(9)
    x = starts(problem)
    final = run(GossipAveraging(), topology, problem, x, 300).final
    values, vectors = np.linalg.eig(dense(topology[0]).T)
    weights = np.real(vectors[:, np.argmin(np.abs(values - 1))])  # the left eigenvector of 1
    assert np.abs(final - weights / weights.sum() @ x).max() <= 1e-12
    assert np.abs(final - x.mean(axis=0)).max() > 0.02


@pytest.mark.parametrize("algorithm", [GossipAveraging(), PushSumAveraging()], ids=str)
def test_finite_time(algorithm: GossipAveraging | PushSumAveraging) -> None:
    for topology, rounds in ((one_peer_exponential(16), 4), (one_peer_exponential(4), 2), (complete(7), 1)):
        x = np.random.default_rng(0).normal(size=(topology.n, 3))
        models = run(algorithm, topology, flat(topology.n, 3), x, rounds).models
        assert np.abs(models[-1] - x.mean(axis=0)).max() <= 1e-14
        assert np.abs(models[-2] - x.mean(axis=0)).max() > 1e-2


@pytest.mark.parametrize("topology", DOUBLY.values(), ids=DOUBLY)
def test_it_is_what_decentralized_sgd_does_without_gradients(topology: Schedule) -> None:
    problem = flat(topology.n, 3)
    x = starts(problem)
    wanted = run(DecentralizedSGD(), topology, problem, x, 50).models
    np.testing.assert_array_equal(run(GossipAveraging(), topology, problem, x, 50).models, wanted)
    assert np.abs(run(PushSumAveraging(), topology, problem, x, 50).models - wanted).max() <= 1e-13


def test_bytes_by_hand() -> None:
    topology = random_out(9, degree=3)
    problem = least_squares(9, d=11)
    pushed = run(PushSumAveraging(), topology, problem, starts(problem), 7)
    assert pushed.messages.tolist() == [2 * 7 * 3] * 9 and pushed.bytes.tolist() == [7 * 3 * (11 + 1) * 8] * 9
    pairs = RandomizedGossip(ring(9))
    mixed = run(GossipAveraging(), pairs, problem, starts(problem), 40)
    assert mixed.messages.sum() == 2 * 40 and mixed.bytes.sum() == 2 * 40 * 11 * 8
