"""One attempt at a run: from where its setting says to its end, if no rank is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from algorithms import Method, NonFiniteError
from gossip.checkpoint.interval import Interval
from gossip.checkpoint.places import set_aside
from gossip.checkpoint.resuming import resume
from gossip.checkpoint.writer import CheckpointWriter, Order
from gossip.drivers.asynchronous import AsynchronousDriver
from gossip.drivers.lockstep import Lockstep
from gossip.drivers.moment import Observer, Position
from gossip.errors import DivergedError, GossipError, say
from gossip.execution.measure import Measure
from gossip.execution.outcome import summarized
from gossip.execution.pacing import driver_of
from gossip.execution.recording import Recording, diverged
from gossip.execution.setting import Setting, configuration_text
from gossip.network import Communicator
from gossip.processes.ending import closed_together, first_calls
from gossip.processes.signals import Signals
from gossip.records.configuration import options_in
from gossip.records.loggers.chosen import Loggers
from gossip.records.loggers.logger import About
from gossip.records.progress import Progress
from gossip.records.recorder import Recorder
from gossip.workloads.holdings import holdings
from gossip.workloads.workload import HasStateDict
from topologies.placement import blocks, crossing


class Companion(Observer, Protocol):
    """Accompanies a run through all attempts at it, and is the first to see each moment."""

    losses: list[str]
    """What was lost when, in words."""

    def close(self) -> None:
        """The attempt has come to its end; collective."""


@dataclass(frozen=True)
class Finished:
    """A run as one rank sees it at the end."""

    model: Tensor
    """The models (n, d) of all nodes, if they were asked for, or those (k, d) of the local ones, servers included."""

    history: list[dict[str, Any]]
    """One record for each evaluation."""

    summary: dict[str, Any]
    """The final metrics and what was run."""

    directory: Path | None
    """The run directory; None on ranks other than 0 and where no output was asked for."""

    lost: str | None = None
    """What of the results is not on disk, and why; None if all is."""


def new_recorder(setting: Setting, processes: Communicator) -> Recorder:
    """An empty history, which rank 0 writes down and shows if that was asked for."""
    if processes.rank:
        return Recorder(None)
    training, written = setting.training, setting.written
    loggers = None
    if training.loggers and written is not None:
        configuration = options_in(configuration_text(training, setting.topology))
        loggers = Loggers(training.loggers, About(written, configuration))
    return Recorder(written, Progress(training.steps) if training.progress else None, loggers)


def attempt(
    setting: Setting,
    recorder: Recorder,
    *,
    processes: Communicator,
    signals: Signals,
    all_models: bool,
    companion: Companion | None = None,
    observers: Sequence[Observer] = (),
) -> Finished:
    """Train, and write down the outcome; collective.

    Args:
        setting: What the run stands on. Its network stays open.
        recorder: Gets the history.
        processes: The ranks.
        signals: May stop it.
        all_models: Whether every rank is to have the models of all nodes.
        companion: Accompanies it.
        observers: Others who look at each moment, before it is recorded.

    Raises:
        GossipError: On every rank.
        NonFiniteError: On one of several ranks, as `NonFiniteError` says; in a single process it is a DivergedError.
    """
    stopped: DivergedError | None = None
    try:
        with ExitStack() as stack:
            stack.callback(recorder.close)
            if companion is not None:
                stack.enter_context(closed_together(processes, companion.close))
            _settle_placement(setting, recorder, processes)
            looking = [*observers] if companion is None else [companion, *observers]
            model = _trained(setting, recorder, processes, signals, looking, stack)
            model = setting.network.all_rows(model)[: setting.topology.n] if all_models else model
    except DivergedError as error:
        stopped = error
    except GossipError:
        recorder.stopped()
        processes.barrier()
        raise
    losses = [] if companion is None else companion.losses
    ranks = processes.size
    summary = summarized(setting, recorder, ranks=ranks, diverged=stopped is not None, losses=losses)
    lost = processes.from_root(lambda: _write_outcome(setting, recorder, summary))
    if stopped is not None:
        raise stopped
    directory = None if processes.rank else setting.directory
    return Finished(model, recorder.history, summary, directory, lost)


def _write_outcome(setting: Setting, recorder: Recorder, summary: dict[str, Any]) -> str | None:
    drawn = setting.topology if setting.training.report else None
    with_data = setting.ids[: len(setting.ids) - setting.training.algorithm.without_data]
    recorder.write_outcome(
        summary,
        drawn,
        lambda: configuration_text(setting.training, setting.topology),
        lambda: holdings(setting.workload, with_data),
    )
    return recorder.lost


def _settle_placement(setting: Setting, recorder: Recorder, processes: Communicator) -> None:
    """Note what a placement other than the first one is worth."""
    if processes.rank == 0 and setting.training.placement != "contiguous":
        contiguous = blocks(setting.topology.n, processes.size)
        row = setting.x[0].nbytes
        hosted = [[node for node in nodes if node < setting.topology.n] for nodes in setting.hosted]
        placed, before = (row * crossing(setting.topology, processes.hosts, each) for each in (hosted, contiguous))
        recorder.settled(
            {"bytes_between_hosts_per_round": placed, "bytes_between_hosts_per_round_if_contiguous": before}
        )


def _trained(
    setting: Setting,
    recorder: Recorder,
    processes: Communicator,
    signals: Signals,
    observers: list[Observer],
    stack: ExitStack,
) -> Tensor:
    """The models (k, d) of the local nodes after all steps, in memory of their own."""
    training, network = setting.training, setting.network
    algorithm = processes.together(setting.algorithm)
    if setting.keeps:
        writer = _checkpoint_writer(setting, algorithm, recorder, processes, signals)
        stack.enter_context(closed_together(processes, writer.close))
        stack.callback(writer.release)
        observers.append(writer)
    measure = Measure(setting.workload, network, processes, training.evaluate_nodes, algorithm)
    observers.append(Recording(training, algorithm, measure, recorder))
    driver = driver_of(setting, algorithm, recorder, processes)
    position = _begin(setting, driver, recorder, processes)
    recorder.settled(algorithm.chosen(position.state))
    step, state = position.step, position.state
    try:
        moments = driver.moments(position, training.steps)
        with_first_step = islice(moments, 2), first_calls(processes)
        for some, calls in (with_first_step, (moments, nullcontext())):
            with calls:
                for moment in some:
                    step, state = moment.step, moment.state
                    for observer in observers:
                        observer.at(moment)
    except NonFiniteError as error:
        # On several ranks the others do not know and wait: the job ends here.
        kind = DivergedError if processes.size == 1 else NonFiniteError
        raise kind(diverged(step, str(error))) from error
    return algorithm.model(state).clone()


def _begin(
    setting: Setting, driver: Lockstep | AsynchronousDriver, recorder: Recorder, processes: Communicator
) -> Position:
    """Where the run begins, or goes on."""
    if setting.position is not None:
        return setting.position
    if setting.folder is None or not setting.whole:
        return processes.together(lambda: _start(setting, driver, processes))
    position, history = resume(
        setting.folder,
        driver.algorithm,
        setting.training.oracle,
        device=setting.x.device,
        processes=processes,
        network=setting.network,
    )
    processes.from_root(lambda: _continue(setting, recorder, position.step))
    processes.together(lambda: recorder.resume(history))
    return position


def _continue(setting: Setting, recorder: Recorder, step: int) -> None:
    """On rank 0: the run directory is that of a run that has come to this step, and is what this one is."""
    if setting.written is None:
        return
    aside = set_aside(setting.written, step)
    if aside is not None:
        say(f"gossip: the run goes on after step {step}; what it had beyond that is now in {aside}")
    recorder.replace("config.yaml", configuration_text(setting.training, setting.topology))


def _start(setting: Setting, driver: Lockstep | AsynchronousDriver, processes: Communicator) -> Position:
    with first_calls(processes):  # a rank that fails alone cannot tell the others, which may be communicating
        return driver.start(setting.x)


def _checkpoint_writer(
    setting: Setting, algorithm: Method, recorder: Recorder, processes: Communicator, signals: Signals
) -> CheckpointWriter:
    """What writes the checkpoints that are asked for; it holds the run directory."""
    training, directory = setting.training, setting.directory
    assert directory is not None
    layout = dict(setting.workload.layout.shapes)
    about: dict[str, Any] = {"configuration": setting.configuration, "layout": layout, "nodes": setting.topology.n}
    fixed: Mapping[str, Tensor] = {}
    if isinstance(setting.workload, HasStateDict):
        about |= {"state_dict": setting.workload.sources, "with_data": setting.topology.n - algorithm.auxiliary}
        fixed = setting.workload.fixed
    interval = Interval.of(training.checkpoint_every)
    order = Order(directory, interval, training.keep, training.steps, about, fixed)
    return CheckpointWriter(
        order, algorithm, processes=processes, network=setting.network, recorder=recorder, signals=signals
    )
