"""The network of dense matrices has the bits, the bytes and the rounds of the real one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from algorithms import Layout, MatrixNetwork, Network, Sample, TopK
from gossip.network import Communicator, connect
from tests.algorithms.helpers import least_squares, network_of, starts
from tests.cases import FAMILIES, NODES, Case, every_case
from topologies import (
    Schedule,
    complete,
    erdos_renyi,
    exponential,
    one_peer_exponential,
    random_out,
    randomized_gossip,
    ring,
    star,
    with_servers,
)

TOPOLOGIES: dict[str, Schedule] = {
    topology.name + f"-{topology.n}": topology
    for topology in (
        ring(1),
        ring(2),
        ring(9),
        star(6),
        exponential(8),
        one_peer_exponential(8),
        erdos_renyi(12),
        complete(5),
        random_out(7),
        randomized_gossip(7),
    )
}


def both(topology: Schedule) -> tuple[MatrixNetwork, Network]:
    return network_of(topology, seed=3), connect(topology, Communicator(), seed=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_every_exchange(topology: Schedule, dtype: torch.dtype) -> None:
    ours, theirs = both(topology)
    x = torch.randn(topology.n, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    x[:, 2] = -0.0
    for _ in range(5):
        results = [results_of(network, x) for network in (ours, theirs)]
        assert len(results[0]) == len(results[1])
        assert all(map(same_bits, *results))
        x = results[0][0]
    assert_same_counts(ours, theirs)


def results_of(network: Network, x: torch.Tensor) -> list[torch.Tensor]:
    """Of all kinds of exchanges in a step."""
    posted, server = network.post(x), star(network.n) if network.n > 1 else None
    message = TopK(k=3).compress(x.float(), network.draw("test"))
    found = [network.mix(posted), network.mix(x, (0.3, 2 * x)), network.mix(message)]
    found += [network.mean(x), network.sum(x), network.mean(message), network.own_weights(), network.own_weights(2)]
    found += [network.gather(x[:, :2]), network.rows(x, [network.n - 1, 0]), network.mix(x, over=server)]
    for heard in (*network.neighbors(x), *network.neighbors(message), *network.neighbors(x, over=server)):
        found += [torch.tensor(heard.nodes), heard.weights, heard.rows]
    network.finish_step()
    return found


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The signs of zeros, too."""
    return a.dtype == b.dtype and torch.equal(a, b) and torch.equal(a.signbit(), b.signbit())


def assert_same_counts(ours: Network, theirs: Network) -> None:
    assert torch.equal(ours.traffic.bytes, theirs.traffic.bytes)
    assert torch.equal(ours.traffic.messages, theirs.traffic.messages)
    assert (ours.round, ours.n, ours.period) == (theirs.round, theirs.n, theirs.period)
    assert list(ours.nodes) == list(theirs.nodes)
    assert list(ours.hosts) == list(theirs.hosts)


@pytest.mark.parametrize("topology", [each for each in TOPOLOGIES.values() if each.static], ids=lambda each: each.name)
def test_spectrum(topology: Schedule) -> None:
    ours, theirs = both(topology)
    if topology.row_stochastic:
        assert ours.spectrum == theirs.spectrum


def test_matrices_that_vary_have_no_spectrum() -> None:
    with pytest.raises(ValueError, match="vary with time"):
        _ = network_of(one_peer_exponential(8)).spectrum


@pytest.mark.parametrize("edges", [[(5, 0), (5, 2)], [(0, 5), (2, 5), (2, 4)], []], ids=["down", "up", "none"])
def test_other_edges_than_those_of_the_topology(edges: list[tuple[int, int]]) -> None:
    """From some nodes to some; the rows of all others are 0."""
    ours, theirs = both(ring(6))
    x = torch.randn(6, 3)
    for network in (ours, theirs):
        network.x = network.mix(x, over=Edges(6, edges))  # type: ignore[attr-defined]
        network.finish_step()
    assert same_bits(ours.x, theirs.x)  # type: ignore[attr-defined]
    assert_same_counts(ours, theirs)
    assert ours.traffic.messages.sum() == len(edges)


class Edges:
    """Weights 1/2 on edges (from, to)."""

    def __init__(self, n: int, edges: list[tuple[int, int]]) -> None:
        self.n = n
        self.arrays = csr_array(([0.5] * len(edges), tuple(np.array(edges, int).reshape(-1, 2)[:, ::-1].T)), (n, n))
        self.arrays.sort_indices()


def test_what_is_posted_is_counted_once_and_then() -> None:
    ours, theirs = both(one_peer_exponential(8))
    x = torch.randn(8, 3)
    posted = [(network.post(x), network.post_mean(x)) for network in (ours, theirs)]
    for network in (ours, theirs):
        network.finish_step()
    assert_same_counts(ours, theirs)
    (mixed, mean), (their_mixed, their_mean) = posted
    assert torch.equal(ours.mix(mixed), theirs.mix(their_mixed))  # with the matrix of the round in which it was posted
    assert torch.equal(ours.mean(mean), theirs.mean(their_mean))
    for network in (ours, theirs):
        network.finish_step()
    assert_same_counts(ours, theirs)
    assert ours.round == 1


def test_what_another_network_has_posted_is_begun_where_it_is_completed() -> None:
    ours, theirs = both(ring(5))
    x = torch.randn(5, 3)
    assert torch.equal(ours.mix(theirs.post(x)), ours.mix(x))
    assert ours.traffic.messages.tolist() == [4] * 5


# Those that depend on no measured time.
CASES = {name: case for name, case in every_case().items() if name.split("/")[0] in FAMILIES and case.clock is None}


@pytest.mark.parametrize("name", CASES)
def test_every_algorithm(name: str) -> None:
    """Trajectories of full gradients of a small problem, from a start of its own at every node."""
    case = CASES[name]
    topology = with_servers(case.topology(NODES), case.algorithm.servers)
    ours, theirs = (trajectory(case, network) for network in both(topology))
    assert np.isfinite(ours).all()
    assert np.array_equal(ours, theirs)
    assert len(np.unique(ours, axis=0)) > 1 or len(ours) == 1


def trajectory(case: Case, network: Any) -> np.ndarray:
    """(steps + 1, values): the models, the points, and what has been sent, after each step."""
    d, problem = 10, least_squares(NODES - case.algorithm.auxiliary, d=10)
    algorithm = case.algorithm.for_layout(Layout({"a": (2, 3), "b": (4,)})).for_examples([8] * problem.n)
    x = torch.from_numpy(starts(least_squares(network.n, d)))
    state = algorithm.start(x, network)
    network.finish_step()
    found = []
    for _ in range(case.steps + 1):
        with network.unrecorded():
            algorithm.spread(state, network)
        parts = algorithm.model(state), state.x, network.traffic.bytes, network.traffic.messages
        found.append(np.concatenate([part.numpy().ravel() for part in parts]))
        gradient = torch.zeros(network.n, d, dtype=torch.float64)
        gradient[: problem.n] = torch.from_numpy(problem.gradient(state.x.numpy()[: problem.n]))
        algorithm.post(state, network)
        norms = torch.stack([part.norm(dim=1) for part in gradient.split([6, 4], dim=1)], dim=1)
        sample = Sample(gradient, gradient.square().sum(dim=1), norms, lambda x, row, batch: x.square().sum(dim=1))
        algorithm.advance(state, sample, network)
    return np.stack(found)
