"""What moves the nodes of a run: all step together, or each goes at its own pace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from torch import Tensor

from algorithms import Algorithm, Asynchronous, Method
from algorithms.program import NodeProgram
from gossip.checkpoint.interval import Interval
from gossip.drivers.asynchronous import AsynchronousDriver, Paced
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import Gradients, NodeGradients
from gossip.drivers.lockstep import Lockstep
from gossip.drivers.mail import MailDriver
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import Schedule
from gossip.execution.setting import Setting
from gossip.execution.training import Training
from gossip.network import Communicator, SimulatedClock, open_mail
from gossip.records.recorder import Recorder
from topologies import Topology, with_hubs

EVALUATIONS = 10  # of a run, unless told otherwise
ALIKE = SimulatedClock(compute_seconds=1.0, latency=0.0, bandwidth=float("inf"))
"""Nodes that are as fast as each other, and links that take no time: where nobody says how fast they are."""


def evaluation_interval(training: Training) -> int:
    """Steps from one evaluation to the next."""
    return training.evaluate_every or max(1, training.steps // EVALUATIONS)


def driver_of(
    setting: Setting, algorithm: Method, recorder: Recorder, processes: Communicator
) -> Lockstep | AsynchronousDriver:
    """What moves the nodes of this run.

    Args:
        setting: What the run stands on.
        algorithm: Its method, for its model and nodes.
        recorder: Gets the schedule of an asynchronous run.
        processes: The ranks.
    """
    training, network = setting.training, setting.network
    with_data = [setting.ids[node] for node in network.nodes if node < network.n - algorithm.without_data]
    if isinstance(algorithm, Algorithm):
        gradients = Gradients(training.oracle, setting.workload, with_data, training.seed, algorithm.takes_losses)
        averages = getattr(setting.workload, "averages_buffers", False)
        return Lockstep(algorithm, gradients, network, processes.spans, averages)
    assert isinstance(algorithm, Asynchronous)
    links = with_hubs(cast(Topology, setting.topology), algorithm.hubs, algorithm.servers)
    every, steps = evaluation_interval(training), training.steps
    simulated = training.replay is not None or processes.size == 1
    wanted = Interval.of(training.checkpoint_every).steps
    # Simulated nodes do not mind a pause. Real ones wait for each other, and do so where it is asked for.
    pauses = {*range(0, steps + 1, every), *range(0, steps + 1, 1 if setting.keeps and simulated else wanted or every)}

    def of_nodes(x: Tensor) -> NodeGradients:
        return NodeGradients(training.oracle, setting.workload, x, training.seed, with_data)

    def pace(programs: Sequence[NodeProgram], links: Topology, gradients: NodeGradients) -> Paced:
        return _pace(setting, algorithm, processes, programs, links, gradients)

    return AsynchronousDriver(
        algorithm,
        of_nodes,
        network,
        links,
        pace,
        marks=sorted((pauses | {steps}) - {0}),
        seconds=training.seconds,
        simulated=simulated,
        tell=recorder.happened,
        spans=processes.spans,
    )


def _pace(
    setting: Setting,
    algorithm: Asynchronous,
    processes: Communicator,
    programs: Sequence[NodeProgram],
    links: Topology,
    gradients: NodeGradients,
) -> Paced:
    """The simulation, the ranks themselves, or what was recorded."""
    training = setting.training
    if training.replay is not None:
        schedule = processes.together(lambda: Schedule.load(Path(cast(str, training.replay))))
        mail = open_mail(processes, setting.hosted)
        return processes.together(
            lambda: ReplayDriver(programs, links, gradients, schedule, seed=training.seed, mail=mail)
        )
    if processes.size > 1:
        return MailDriver(programs, links, gradients, open_mail(processes, setting.hosted), seed=training.seed)
    clock, servers = training.simulated or ALIKE, algorithm.servers
    return EventDriver(programs, links, gradients, clock, seed=training.seed, servers=servers)
