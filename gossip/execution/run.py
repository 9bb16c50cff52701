"""Runs: the library call that makes one, and how one is carried out from beginning to end."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, cast

import torch

from algorithms import Asynchronous
from gossip.drivers.moment import Observer
from gossip.errors import GossipError
from gossip.execution.attempt import Finished, attempt, new_recorder
from gossip.execution.checks import check, check_survival, repeated_trace
from gossip.execution.outcome import Result
from gossip.execution.privacy import check_package
from gossip.execution.setting import prepare
from gossip.execution.training import Training
from gossip.fields import descriptions
from gossip.names import CHECKPOINT
from gossip.needs import bias, warn_caller
from gossip.network import Communicator
from gossip.processes.allocator import freed_memory_kept
from gossip.processes.calls import RUN
from gossip.processes.cores import shared_cores
from gossip.processes.ending import closed_together, failing_together, speaking_once, watched
from gossip.processes.gathering import gathered
from gossip.processes.signals import Signals
from gossip.processes.start import refusing
from gossip.records.loggers.chosen import check_packages
from gossip.records.logs import logs
from gossip.records.sameness import refuse_disagreement
from gossip.records.trace import traced
from topologies import Schedule

Options = ParamSpec("Options")

RANKS_MAY_DIFFER = ("communicator", "config", "loggers", "output", "progress", "stall_timeout")  # of `Training`


def conduct(
    training: Training,
    processes: Communicator,
    signals: Signals,
    *,
    warn: Callable[[str], None],
    all_models: bool = False,
    observers: Sequence[Observer] = (),
) -> Finished:
    """Train on these processes, until a signal stops it if there are to be checkpoints; collective.

    Args:
        training: What is asked for.
        processes: The ranks.
        signals: May stop the run.
        warn: Tells the user, on rank 0, of what may be a mistake.
        all_models: Whether every rank is to have the models of all nodes, or those of its own.
        observers: Look at each moment of a run that does not outlive its ranks, before it is recorded.

    Raises:
        GossipError: On every rank.
    """
    if not training.keeps:
        signals.ignore()
    processes.patience = training.stall_timeout or math.inf
    processes.traceback = training.traceback
    topology = processes.together(lambda: check(training, processes.size))
    _refuse_disagreement(training, topology, processes)
    processes.from_root(lambda: _check_packages(training))
    survives = training.on_failure != "abort"
    if training.on_failure == "continue":  # without whatever rank, that of a server too
        training = replace(training, algorithm=training.algorithm.replicated())
    if survives:
        processes.together(lambda: check_survival(training, processes.size))
    with ExitStack() as stack:
        stack.enter_context(traced(training.trace, processes))
        setting = prepare(training, topology, processes)
        if not survives:  # or else each attempt has a network of its own
            stack.enter_context(closed_together(processes, setting.network.close))
            stack.enter_context(watched(processes, setting.written, CHECKPOINT.pattern))
        stack.enter_context(logs(setting.written, processes))
        biased = bias(training.algorithm, topology)
        for warning in (biased, repeated_trace(training)):
            if warning and processes.rank == 0:
                warn(warning)
        if survives:
            from gossip.execution.outliving import Outliving
            from gossip.execution.survival import Survival
            from gossip.processes.mpi import MpiCommunicator

            goes_on = training.on_failure == "continue" and isinstance(training.algorithm, Asynchronous)
            ranks = cast(MpiCommunicator, processes)
            return (Outliving if goes_on else Survival)(setting, ranks, signals).conduct(all_models)
        recorder = new_recorder(setting, processes)
        return attempt(
            setting, recorder, processes=processes, signals=signals, all_models=all_models, observers=observers
        )


def _check_packages(training: Training) -> None:
    """Refuse a run without what it asks for beyond the core."""
    check_packages(training.loggers)
    check_package(training)


def _refuse_disagreement(training: Training, topology: Schedule, processes: Communicator) -> None:
    """Refuse ranks that are asked for different runs; collective."""
    fields = {name: value for name, value in vars(training).items() if name not in RANKS_MAY_DIFFER}
    dtype = str(torch.get_default_dtype())
    refuse_disagreement(processes, **fields | {"topology": topology, "default_dtype_of_torch": dtype})


def _with_options_of(
    specification: Callable[Options, Training],
) -> Callable[[Callable[[Training], Result]], Callable[Options, Result]]:
    """Let a function of a training take its options instead, and say in its documentation what they are."""

    def taking(function: Callable[[Training], Result]) -> Callable[Options, Result]:
        @wraps(function)
        def call(*arguments: Options.args, **options: Options.kwargs) -> Result:
            return function(specification(*arguments, **options))

        texts = [_paragraph(f"{name}: {' '.join(text.split())}") for name, text in descriptions(Training).items()]
        call.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("<options>", "\n".join(texts))
        signature = inspect.signature(specification)
        call.__signature__ = signature.replace(return_annotation="Result")  # type: ignore[attr-defined]
        return call

    return taking


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=" " * 4, subsequent_indent=" " * 8)


@_with_options_of(Training)
def run(training: Training) -> Result:
    """Train, in this process or, when launched under MPI, together with the other ranks.

    Every rank makes the same call. The models are the same bits on any number of ranks, given the same gradients.
    The process is left as it was found. What an exception of your own does between two runs on several ranks is up to
    you: with `mpirun -n 4 python -m mpi4py script.py` it ends all of them.

    Args:
    <options>

    Raises:
        UsageError: (a ValueError) if this cannot be run as asked, or if a class of your own fails before the first step
            is done, on every rank.
        DataError: if data cannot be read or output cannot be written, on every rank.
        DivergedError: if a loss is NaN or infinite, on every rank.
        PreemptedError: if a signal has stopped the run, on every rank; there is a checkpoint of where it was.
    """
    with refusing():
        processes = gathered(training.communicator, RUN, training.stall_timeout)
    with ExitStack() as stack:
        stack.enter_context(speaking_once(processes))
        stack.enter_context(failing_together(processes))
        stack.enter_context(closed_together(processes, processes.close))
        stack.enter_context(shared_cores(processes))
        stack.enter_context(freed_memory_kept())
        signals = stack.enter_context(Signals())
        try:
            finished = conduct(training, processes, signals, warn=warn_caller, all_models=True)
        except GossipError as error:
            if error.trace and not training.traceback:
                raise error.with_traceback(None) from None
            raise
    return Result(finished.model, finished.history, finished.summary, finished.directory)
