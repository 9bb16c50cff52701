"""Networks that are written for a verification, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gossip.advise.files import write_network
from gossip.network import SimulatedNetwork
from gossip.network.simulation.compute import Trace
from gossip.network.simulation.description import Compute, Level
from gossip.network.simulation.failures import Failures, Outage
from gossip.network.simulation.graph import Link, LinkGraph
from gossip.network.simulation.times import NetworkTimes
from topologies import ring

NODES = 4
MEASURED = Trace([np.array([0.1, 0.2]), np.array([0.3]), np.array([0.1]), np.array([1 / 3, 0.5, 0.25])])
STAR = tuple(Link(str(node), "s", 1e-3 * (node + 1), 1e6, 1e-4) for node in range(NODES))
ROUND = tuple(Link(str(node), str((node + 1) % NODES), 1e-3, 1e6 * (node + 1)) for node in range(NODES))
NETWORKS = {
    "levels": SimulatedNetwork(
        (Level(1e-5, 1e9, members=2, overhead=1e-6), Level(1e-2, 1e7, up=1e6)),
        Compute(0.1, "lognormal", 0.3, slow={2: 3.0}),
        failures=Failures((Outage(0.2, 0.4, level=1, member=0),)),
        sums="tree",
    ),
    "trace": SimulatedNetwork((Level(1e-3, 1e6),), Compute(trace=MEASURED, slow={0: 2.0})),
    "graph": SimulatedNetwork(
        (), Compute(0.01), LinkGraph(tuple(map(str, range(NODES))), STAR),
        Failures((Outage(0.0, 0.5, link=("1", "s")),), rate=0.1, repair=2.0),
    ),
    "one-way": SimulatedNetwork(
        (), Compute(trace=MEASURED), LinkGraph(tuple(map(str, range(NODES))), ROUND, directed=True)
    ),
}  # fmt: skip


def told(network: SimulatedNetwork) -> list[list[int]]:
    """When nodes are ready for each of some steps."""
    times, topology, found = NetworkTimes(network, NODES, 0, seed=3), ring(NODES), []
    for step in range(6):
        times.compute(step)
        times.wait(times.send(topology, 10_000))
        times.wait(times.reduce(1000))
        found.append(times.now.tolist())
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_tells_the_same_times(name: str, tmp_path: Path) -> None:
    file = tmp_path / "network.yaml"
    write_network(NETWORKS[name], file)
    assert told(SimulatedNetwork.of(file)) == told(NETWORKS[name])
