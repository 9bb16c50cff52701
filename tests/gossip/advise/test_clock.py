"""The seconds of a step, against closed forms."""

from __future__ import annotations

import pytest

from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, LocalSGD, SquarmSGD
from gossip.advise.networks import altered, computing, hosts_of, on_hosts, paced
from gossip.advise.plan import Plan, Sizes, plan
from gossip.errors import UsageError
from gossip.network import SimulatedNetwork
from gossip.network.simulation.description import Compute, Level
from gossip.network.simulation.graph import Link, LinkGraph
from tests.conftest import REPOSITORY
from topologies import Schedule, complete, one_peer_exponential, ring

LATENCY, BANDWIDTH, COMPUTE = 1e-3, 1e6, 0.02
FLAT = SimulatedNetwork((Level(LATENCY, BANDWIDTH),), Compute(COMPUTE))
BYTES = 100_000
SENDING = BYTES / BANDWIDTH


def planned(algorithm: Algorithm, topology: Schedule, period: int = 1) -> Plan:
    return plan(algorithm, topology, period=period, uneven=False)


def seconds(algorithm: Algorithm, topology: Schedule, period: int = 1, message: int = BYTES) -> float:
    return planned(algorithm, topology, period).seconds(FLAT, Sizes(BYTES, message))


def test_all_reduce_goes_around_a_ring() -> None:
    """2 (n - 1) rounds, each with the latency and an n-th of the bytes."""
    n = 8
    expected = COMPUTE + 2 * (n - 1) * (LATENCY + SENDING / n)
    assert seconds(LocalSGD(period=1), ring(n)) == pytest.approx(expected, rel=1e-6)


def test_messages_of_a_node_on_a_complete_graph_are_serial() -> None:
    """n - 1 messages, one after the other, on every up-link and every down-link."""
    n = 8
    expected = COMPUTE + (n - 1) * SENDING + LATENCY
    assert seconds(DecentralizedSGD(), complete(n)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("period", [1, 4])
def test_one_peer_exponential_sends_one_message_a_round(period: int) -> None:
    expected = COMPUTE + (SENDING + LATENCY) / period
    found = seconds(DecentralizedSGD(period=period), one_peer_exponential(8), period)
    assert found == pytest.approx(expected, rel=1e-6)


def test_what_is_sent_ahead_travels_while_the_gradient_is_computed() -> None:
    """On a ring, two messages take longer than the gradient, which is then hidden."""
    assert seconds(DecentralizedSGD(order="consensus"), ring(8)) == pytest.approx(2 * SENDING + LATENCY, rel=1e-6)


def test_compressed_messages_have_their_own_length() -> None:
    small = 1000
    expected = COMPUTE + 2 * small / BANDWIDTH + LATENCY
    assert seconds(ChocoSGD(gamma=0.5), ring(8), message=small) == pytest.approx(expected, rel=1e-6)
    expected = COMPUTE + (2 * small / BANDWIDTH + LATENCY) / 4
    found = seconds(SquarmSGD(gamma=0.5, period=4, momentum=0.0), ring(8), 4, message=small)
    assert found == pytest.approx(expected, rel=1e-6)


def test_bytes() -> None:
    sizes = Sizes(BYTES, 1000)
    assert planned(LocalSGD(period=1), ring(8)).bytes(sizes) == pytest.approx(2 * 7 / 8 * BYTES)
    assert planned(DecentralizedSGD(period=2), ring(8), 2).bytes(sizes) == pytest.approx(BYTES)
    assert planned(ChocoSGD(gamma=0.5), ring(8)).bytes(sizes) == pytest.approx(2000)


def test_nodes_of_a_host_share_its_link() -> None:
    """Each of 4 nodes on a host sends to one on the other host: its link carries 4 messages in each round, always."""
    network = on_hosts(SimulatedNetwork((Level(LATENCY, BANDWIDTH),)), 8, 2)
    across = planned(DecentralizedSGD(), _shift(8, 4))
    assert across.seconds(network, Sizes(BYTES, BYTES)) == pytest.approx(4 * SENDING, rel=1e-6)
    assert hosts_of(network, 8, None) == 2


def test_two_centres() -> None:
    """The network of the documentation: between two sites of 8 nodes, 100 Mbit/s and 20 ms."""
    network = SimulatedNetwork.of(REPOSITORY / "docs" / "studies" / "two_data_centres_network.yaml")
    assert hosts_of(network, 16, None) == 2 and on_hosts(network, 16, 2) == network
    assert (network.levels[1].bandwidth, network.levels[1].latency) == (100e6 / 8, 0.02)


def test_hosts_of_a_network_are_as_large_as_it_says() -> None:
    levels = (Level(LATENCY, BANDWIDTH, members=8), Level(LATENCY, BANDWIDTH))
    assert on_hosts(SimulatedNetwork(levels), 16, 2).levels == levels
    with pytest.raises(UsageError, match="8 nodes on a host, --nodes 16 --hosts 4 makes 4"):
        on_hosts(SimulatedNetwork(levels), 16, 4)


def test_altered_networks() -> None:
    network = SimulatedNetwork((Level(1.0, 8.0, up=4.0),), Compute(0.5))
    assert altered(network, latency=2, bandwidth=0.5) == SimulatedNetwork((Level(2.0, 4.0, up=2.0),), Compute(0.5))


def _shift(n: int, by: int) -> Schedule:
    import numpy as np

    from topologies import Topology

    W = (np.eye(n) + np.roll(np.eye(n), by, axis=1)) / 2
    return Topology.from_matrix(W, connected=False)


def test_altered_graphs() -> None:
    graph = LinkGraph(("a", "b"), (Link("a", "b", 1.0, 8.0),))
    found = altered(SimulatedNetwork(graph=graph), latency=2, bandwidth=0.5).graph
    assert found is not None and found.links == (Link("a", "b", 2.0, 4.0),)


def test_slower_computing_counts_once() -> None:
    network = SimulatedNetwork((Level(0.0, 1.0),), Compute(0.5, slow={1: 3.0}))
    assert computing(paced(network, 2, 2.0), 2) == pytest.approx((1.0 + 3.0) / 2)
