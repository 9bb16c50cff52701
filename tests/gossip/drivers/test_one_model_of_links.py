"""What single messages take in events is what they take in a round in lockstep, on every kind of network."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.program import NodeContext, NodeProgram
from gossip.drivers.events import EventDriver
from gossip.network.simulation.compute import Compute
from gossip.network.simulation.description import NETWORKS, Level, SimulatedNetwork
from gossip.network.simulation.failures import Failures, Outage
from gossip.network.simulation.graph import Link, LinkGraph
from gossip.network.simulation.host import Host
from gossip.network.simulation.times import NetworkTimes
from tests.algorithms.asynchronous.helpers import nothing
from topologies import Topology, exponential, grid, ring

N = 12
SPOKES = LinkGraph(
    tuple(str(node) for node in range(N)),
    (
        *(Link(str(node), f"switch {node % 2}", 1e-4 * (1 + node), 1e6 * (1 + node % 3), 1e-6) for node in range(N)),
        Link("switch 0", "switch 1", 1e-3, 2e6),
    ),
)
NAMED = NETWORKS | {
    "graph": SimulatedNetwork(graph=SPOKES),
    "cores": SimulatedNetwork((Level(1e-4, 1e8),), host=Host(cores=2, nodes=4, message=2e-5, byte=1e-9)),
    "failing": SimulatedNetwork(
        (Level(1e-4, 1e6, members=4), Level(1e-3, 2e6)),
        failures=Failures((Outage(0.0005, 0.01, level=1, member=1),), rate=50.0, repair=0.002),
    ),
}


@dataclass
class Burst(NodeProgram):
    """Sends to all its neighbours at a time, to the next ones by number first."""

    x: Tensor
    seconds: float
    n: int = N

    def on_start(self, context: NodeContext) -> None:
        context.set_timer(self.seconds)

    def on_timer(self, context: NodeContext) -> None:
        for neighbor in sorted(context.neighbors, key=lambda other: (other - context.node) % self.n):
            context.send(neighbor, self.x)

    @property
    def model(self) -> Tensor:
        return self.x


@pytest.mark.parametrize("name", sorted(NAMED))
@pytest.mark.parametrize("topology", [ring(N), exponential(N), grid(N)], ids=["ring", "exponential", "grid"])
def test_a_round_of_nodes_that_begin_when_they_can(name: str, topology: Topology) -> None:
    starts = np.random.default_rng(3).uniform(0, 2e-3, size=N)
    times = NetworkTimes(NAMED[name], N, 0, seed=5)
    times.now = np.rint(starts * 1e9).astype(np.int64)
    wanted = times.send(topology, 8000)

    programs = [Burst(torch.zeros(1, 1000, dtype=torch.float64), seconds) for seconds in starts.tolist()]
    run = EventDriver(programs, topology, nothing, NAMED[name], seed=5)
    run.run()
    schedule = run.schedule
    heard = schedule.kinds == 2
    last = np.zeros(N, np.int64)
    np.maximum.at(last, schedule.nodes[heard], schedule.times[heard])
    assert last.tolist() == wanted.tolist()


def test_gradients_take_as_long_as_in_lockstep() -> None:
    network = SimulatedNetwork((Level(0.0, 1e9),), Compute(0.1, "lognormal", 0.7, slow={3: 2.5}))
    programs = [Asking(torch.zeros(1, 1)) for _ in range(N)]
    run = EventDriver(programs, ring(N), nothing, network, seed=9, steps=4)
    run.run()
    schedule = run.schedule
    for node in range(N):
        ends = schedule.times[(schedule.kinds == 1) & (schedule.nodes == node)]
        assert np.diff(ends, prepend=0).tolist() == [int(network.compute.nanoseconds(N, 9, t)[node]) for t in range(4)]


def test_messages_do_not_overtake_each_other_on_the_cores_of_a_host() -> None:
    network = SimulatedNetwork((Level(0.0, 1e12),), host=Host(cores=2, nodes=1, byte=1e-6))
    programs = [Shrinking(torch.zeros(1, 1)) for _ in range(2)]
    run = EventDriver(programs, ring(2), nothing, network)
    run.run()
    assert programs[1].heard == [4000, 400, 40] == programs[0].heard


@dataclass
class Shrinking(NodeProgram):
    """Sends messages of which each is shorter than the one before."""

    x: Tensor
    heard: list[int] = field(default_factory=list)

    def on_start(self, context: NodeContext) -> None:
        for size in (4000, 400, 40):
            context.send(1 - context.node, torch.zeros(1, size))

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.heard.append(value.shape[1])


@dataclass
class Asking(NodeProgram):
    """Computes gradients, and nothing else."""

    x: Tensor

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)

    def on_gradient(self, sample: object, context: NodeContext) -> None:
        context.ask_gradient(self.x)

    @property
    def model(self) -> Tensor:
        return self.x
