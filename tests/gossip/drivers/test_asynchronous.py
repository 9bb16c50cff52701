"""The driver of asynchronous methods: where it pauses, and that this changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms import AdPsgd, Full, NodeProgram
from gossip import SimulatedClock
from gossip.drivers.asynchronous import AsynchronousDriver, Paced
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.moment import Moment
from gossip.network import Communicator, connect
from gossip.workloads import LogisticRegression
from topologies import Topology, ring

CLOCK = SimulatedClock(0.01, 1e-3, 1e7, 0.01, slow_nodes=(1,), slowdown=4.0)


def moments(pause: float, seconds: float | None = None) -> list[Moment]:
    topology = ring(6)
    workload = LogisticRegression().shard(6, seed=0)

    def gradients(x: Tensor) -> NodeGradients:
        return NodeGradients(Full(), workload, x, seed=0)

    def pace(programs: Sequence[NodeProgram], links: Topology, gradients: NodeGradients) -> Paced:
        return EventDriver(programs, links, gradients, CLOCK)

    network = connect(topology, Communicator())
    driver = AsynchronousDriver(
        AdPsgd(lr=0.3), gradients, network, topology, pace, marks=[5, 10, 12], seconds=seconds, pause=pause
    )
    position = driver.start(workload.initial().expand(6, -1).clone())
    found = []
    for moment in driver.moments(position, 12):
        moment.state.x = moment.state.x.clone()
        found.append(moment)
    return found


def test_pauses_in_between_change_nothing() -> None:
    whole, paused = moments(math.inf), moments(0.05)
    assert [moment.step for moment in whole] == [0, 5, 10, 12]
    assert not any(moment.between for moment in whole)
    assert [moment.step for moment in paused if not moment.between] == [0, 5, 10, 12]
    assert sum(moment.between for moment in paused) >= 3
    assert torch.equal(whole[-1].state.x, paused[-1].state.x)
    assert [moment.final for moment in paused] == [False] * (len(paused) - 1) + [True]


def test_the_last_moment_is_when_time_is_over() -> None:
    for pause in (math.inf, 0.02):
        found = moments(pause, seconds=0.1)
        assert found[-1].final and 0 < found[-1].step < 12
        assert not found[-1].between
