"""All networks of one process give the same: of full matrices, over a transport, and with a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms import Identity, MatrixNetwork, Network, TopK
from algorithms.star import from_server, to_server
from gossip import SimulatedClock
from gossip.network import Communicator, connect
from tests.gossip.network.test_new_transport import logging
from topologies import Schedule, Topology, erdos_renyi, exponential, one_peer_exponential, ring, star

TOPOLOGIES = (ring(1), ring(9), star(6), exponential(8), one_peer_exponential(8), erdos_renyi(12))
CLOCK = SimulatedClock(1.0, 0.5, 160.0)
NETWORKS: dict[str, Callable[[Schedule], Network]] = {
    "matrices": lambda topology: MatrixNetwork(
        topology.matrix.toarray()
        if isinstance(topology, Topology)
        else [topology[t].matrix.toarray() for t in range(topology.period or 0)]
    ),
    "a transport that logs": lambda topology: connect(topology, Communicator(), transport=logging([])),
    "a clock": lambda topology: connect(topology, Communicator(), clock=CLOCK),
}


def exchanged(network: Network) -> list[Tensor]:
    """All that comes of using a network in every way."""
    n, server = network.n, network.n - 1
    random = torch.Generator().manual_seed(1)
    x, y = torch.randn(n, 7, generator=random, dtype=torch.float64), torch.randn(n, 4, generator=random)
    up, down = to_server(n, server, range(0, server, 2)), from_server(n, server, range(0, server, 2))
    found: list[Any] = []
    for _ in range(4):
        message = TopK(fraction=0.3).compress(x, network.draw("test"), sent=x[:, 0] > 0)
        posted = network.post(x), network.post(message), network.post(y)
        average = network.post_mean(y)
        found += [network.mix(y), network.mix(posted[0], (0.5, x)), network.mix(posted[1])]
        for heard in (
            network.neighbors(posted[2]),
            network.neighbors(x, over=up),
            network.neighbors(Identity().compress(y, network.draw("test")), over=down),
        ):
            found += [part for each in heard for part in (torch.tensor(each.nodes), each.weights, each.rows)]
        found += [network.mix(x, over=up), network.mix(x, (2.0, x), over=down), network.mix(message, over=up)]
        found += [network.own_weights(), network.mean(x), network.mean(message), network.sum(average)]
        found += [network.gather(y[:, :2]), network.rows(x, [n - 1, 0, n - 1])]
        x = network.mix(x)
        network.finish_step()
        found += [torch.tensor(network.round), network.traffic.bytes.clone(), network.traffic.messages.clone()]
    return found


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: f"{topology.name}-{topology.n}")
def test_every_network_gives_the_same_bits_and_counts_the_same(topology: Schedule, name: str) -> None:
    plain, other = exchanged(connect(topology, Communicator())), exchanged(NETWORKS[name](topology))
    assert len(plain) == len(other)
    for i, (one, two) in enumerate(zip(plain, other, strict=True)):
        assert torch.equal(one, two), i
