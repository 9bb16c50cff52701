"""A recorded run once more: the same bits, and a schedule of something else is noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import algorithms
from algorithms import QSGD, SGD, AdamW, AttackedNodes, GaussianNoise, Minibatch, Oracle, Polyline, Saga, Sdca, TopK
from algorithms.asynchronous import (
    A2CiD2,
    Acpd,
    AdPsgd,
    Asynchronous,
    AsynchronousDiLoCo,
    AsynchronousElasticAveraging,
    AsynchronousLeaderSGD,
    AsynchronousPushSum,
    AsynchronousZenoPS,
    Downpour,
    FedAsync,
    FedAT,
    FedBuff,
    OverlapPushSum,
    SwarmSGD,
    TiFL,
    ZenoPlusPlus,
)
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import Schedule
from gossip.options.kinds import names
from gossip.workloads import LogisticRegression
from topologies import Topology, complete, erdos_renyi, exponential, ring, with_hubs

METHODS: dict[str, tuple[Asynchronous, Topology]] = {
    "ad-psgd": (AdPsgd(lr=0.3, momentum=0.5), ring(6)),
    "ad-psgd-all": (AdPsgd(lr=0.3, active="all"), erdos_renyi(7, seed=2)),
    "ad-psgd-compressed": (AdPsgd(lr=0.3, compressor=QSGD(levels=15)), ring(6)),
    "swarm": (SwarmSGD(lr=0.3, local_steps=2, momentum=0.5), erdos_renyi(7, seed=2)),
    "swarm-compressed": (SwarmSGD(lr=0.3, geometric=True, compressor=QSGD(levels=15)), ring(6)),
    "a2cid2": (A2CiD2(lr=0.3, active="all", momentum=0.5), ring(7)),
    "overlap-push-sum": (OverlapPushSum(lr=0.1, staleness=2), exponential(6)),
    "push-sum": (AsynchronousPushSum(lr=0.01), exponential(6)),
    "push-sum-running": (AsynchronousPushSum(lr=0.01, running_sums=True), exponential(6)),
    "easgd": (AsynchronousElasticAveraging(lr=0.3, period=2), complete(6)),
    "eamsgd": (AsynchronousElasticAveraging(lr=0.1, alpha=0.2, momentum=0.8), complete(6)),
    "downpour": (Downpour(lr=0.1, period=3), complete(6)),
    "zeno-ps": (AsynchronousZenoPS(lr=0.1, period=2, compressor=TopK(fraction=0.5), momentum=0.5), complete(6)),
    "zeno-plus-plus": (ZenoPlusPlus(lr=0.1, epsilon=0.5, period=2), complete(6)),
    "attacked": (
        AttackedNodes(ZenoPlusPlus(lr=0.1, epsilon=0.5, period=2), GaussianNoise(3.0), attackers=(1, 3)),
        complete(6),
    ),
    "leader-sgd": (
        AsynchronousLeaderSGD(
            lr=0.1, period=2, groups=2, global_every=2, proximal=0.1, global_proximal=0.2, momentum=0.5
        ),
        complete(6),
    ),
    "diloco": (
        AsynchronousDiLoCo(
            lr=0.01, local_steps=3, buffer=2, c=0.2, optimizer=AdamW(), speeds=(1.0, 0.3, 1.0, 1.0, 1.0, 0.5)
        ),
        complete(6),
    ),
    "fed-async": (FedAsync(lr=0.3, local_steps=2, concurrency=4), complete(6)),
    "fed-buff": (FedBuff(lr=0.3, local_steps=2, buffer=3, compressor=QSGD(levels=15)), complete(6)),
    "fed-at": (FedAT(lr=0.3, local_steps=2, tiers=3, optimizer=SGD(momentum=0.5), compressor=Polyline()), complete(7)),
    "ti-fl": (TiFL(lr=0.3, local_steps=1, tiers=(0, 1, 0, 1, 0, 1), participation=2), complete(6)),
    "acpd": (Acpd(group=3, barrier=3, compressor=TopK(fraction=0.3)), complete(6)),
}
CLOCK = SimulatedClock(0.01, 2e-2, 1e6, 0.01, slow_nodes=(1,), slowdown=3.0)


def graph_of(name: str) -> Topology:
    """The nodes and links of a method, servers included."""
    method, topology = METHODS[name]
    return with_hubs(topology, method.hubs, method.servers)


def oracle_of(name: str, usual: Oracle) -> Oracle:
    """What a run of a method is given: the usual one, if it takes that."""
    return Sdca(8) if isinstance(METHODS[name][0], Acpd) else usual


def gradients(topology: Topology, oracle: Oracle) -> NodeGradients:
    workload = LogisticRegression().shard(topology.n, seed=0)
    return NodeGradients(oracle, workload, workload.initial().expand(topology.n, -1), seed=4)


def recorded(name: str, oracle: Oracle, clock: SimulatedClock = CLOCK) -> EventDriver:
    (method, topology), graph = METHODS[name], graph_of(name)
    programs = method.programs(graph, range(graph.n), torch.zeros(graph.n, 31, dtype=torch.float64))
    run = EventDriver(programs, graph, gradients(topology, oracle), clock, seed=3, servers=method.servers)
    run.run(until=0.4)
    return run


def replayed(name: str, oracle: Oracle, schedule: Schedule, seed: int = 3) -> ReplayDriver:
    (method, topology), graph = METHODS[name], graph_of(name)
    programs = method.programs(graph, range(graph.n), torch.zeros(graph.n, 31, dtype=torch.float64))
    again = ReplayDriver(programs, graph, gradients(topology, oracle), schedule, seed=seed)
    again.run()
    return again


@pytest.mark.parametrize("oracle", [Minibatch(8), Saga()], ids=["minibatch", "saga"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_it_gives_the_same_models(name: str, oracle: Oracle) -> None:
    run = recorded(name, oracle)
    again = replayed(name, oracle, run.schedule)
    assert torch.equal(again.models(), run.models())
    assert run.models().norm() > 0.1
    left = sorted((letter.sender, letter.to) for letter in run.under_way())
    assert sorted((letter.sender, letter.to) for letter in again.under_way()) == left and left


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100), latency=st.sampled_from([0.0, 0.02]), spread=st.sampled_from([0.0, 0.05]))
def test_whatever_the_order_was(seed: int, latency: float, spread: float) -> None:
    clock = SimulatedClock(0.01, latency, 1e5, spread, slow_nodes=(seed % 7,), slowdown=1.0 + seed)
    run = recorded("ad-psgd-all", Minibatch(2), clock)
    assert torch.equal(replayed("ad-psgd-all", Minibatch(2), run.schedule).models(), run.models())


def test_every_method_is_in_the_table() -> None:
    exported = {name for name in names(Asynchronous) if hasattr(algorithms, name)}  # not those of tests
    assert exported == {type(method).__name__ for method, _ in METHODS.values()}


def test_a_schedule_of_something_else_is_refused() -> None:
    schedule = recorded("ad-psgd-all", Minibatch(8)).schedule
    with pytest.raises(ValueError, match=r"the schedule does not belong to these programs: event .* nobody has caused"):
        replayed("ad-psgd-all", Minibatch(8), schedule, seed=5)  # other partners
    with pytest.raises(ValueError, match="the schedule is one of 7 nodes, and the topology has 6"):
        replayed("ad-psgd", Minibatch(8), schedule)
    late = Schedule(7, *(np.append(column, column[-1]) for column in columns(schedule)))
    late.kinds[-1], late.nodes[-1] = 3, 2
    with pytest.raises(ValueError, match=f"event {len(schedule)} is a timer of node 2"):
        replayed("ad-psgd-all", Minibatch(8), late)


def columns(schedule: Schedule) -> tuple[np.ndarray, ...]:
    return schedule.times, schedule.kinds, schedule.nodes, schedule.senders, schedule.causes
