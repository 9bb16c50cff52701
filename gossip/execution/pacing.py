"""What moves the nodes of a run: all step together, or each goes at its own pace."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

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
from gossip.errors import UsageError
from gossip.execution.setting import Setting
from gossip.execution.training import DECIDE_MODELS, Training
from gossip.network import Communicator, SimulatedClock, open_mail
from gossip.records.configuration import described, difference
from gossip.records.recorder import Recorder
from topologies import Topology, with_hubs

EVALUATIONS = 10  # of a run, unless told otherwise
SAID_BY_SCHEDULE = ("clock", "network", "replay")  # of `DECIDE_MODELS`
PAUSE = 5.0  # seconds after which ranks that may be told to stop, or to save, look whether they are
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

    def tell(schedule: Schedule) -> None:
        if schedule.of or processes.rank or not setting.whole:  # one with losses is not repeated
            recorder.happened(schedule)
        else:
            recorder.happened(replace(schedule, of=json.dumps(_identity(setting))))

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
        pause=PAUSE if setting.keeps and not simulated else math.inf,
        marks=sorted((pauses | {steps}) - {0}),
        seconds=training.seconds,
        simulated=simulated,
        every=every,
        timed=training.replay is None and (training.simulated is not None or processes.size > 1),
        tell=tell,
        spans=processes.spans,
        numbers=None if setting.whole else setting.ids,
        under_way=setting.under_way,
        agree=_agreement(training, processes),
    )


def _agreement(training: Training, processes: Communicator) -> Callable[[bool], bool]:
    """Whether all that are left have come through what may fail where one is lost, if they are to go on then."""
    if training.on_failure != "continue":
        return lambda mine: mine
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(processes, MpiCommunicator)
    return processes.agree


def _identity(setting: Setting) -> dict[str, Any]:
    """What the models depend on, beside the schedule."""
    decide = {name: getattr(setting.training, name) for name in DECIDE_MODELS if name not in SAID_BY_SCHEDULE}
    return described(**decide | {"topology": setting.topology, "dtype": str(setting.x.dtype)})


def _recorded(setting: Setting) -> Schedule:
    """The schedule to repeat, if it is one of such a run.

    Raises:
        DataError: It cannot be read.
        UsageError: It is one of another run.
    """
    file = Path(cast(str, setting.training.replay))
    schedule = Schedule.load(file)
    here = json.loads(json.dumps(_identity(setting)))
    other = difference(json.loads(schedule.of), here) if schedule.of else None
    if other is not None:
        raise UsageError(f"{file} is the schedule of another run: {other}; all but the clock must be as there")
    return schedule


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
        schedule = processes.together(lambda: _recorded(setting))
        mail = open_mail(processes, setting.hosted)
        return processes.together(
            lambda: ReplayDriver(programs, links, gradients, schedule, seed=training.seed, mail=mail)
        )
    if processes.size > 1:
        outlives = training.on_failure != "abort"
        mail = open_mail(processes, setting.hosted, survives=training.on_failure == "continue", progresses=not outlives)
        essential = range(links.n - algorithm.essential, links.n)
        return MailDriver(programs, links, gradients, mail, seed=training.seed, essential=essential)
    clock, servers = training.simulated or ALIKE, algorithm.servers
    return EventDriver(programs, links, gradients, clock, seed=training.seed, servers=servers)
