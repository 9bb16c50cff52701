"""When a run writes checkpoints, and what is in them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from algorithms import Algorithm, Block, Method
from gossip.checkpoint.agreement import Agreement
from gossip.checkpoint.entries import Outline, StateRows
from gossip.checkpoint.interval import Interval
from gossip.checkpoint.places import step_folder
from gossip.checkpoint.sections import ModelSection, NetworkSection, nodes_of_sections
from gossip.checkpoint.store import FolderWriter, remove_older
from gossip.drivers.moment import Moment
from gossip.errors import DataError, GossipError, PreemptedError, UsageError
from gossip.network import Communicator, RunNetwork
from gossip.processes.signals import Signals, exit_code_of, tell_batch_script
from gossip.records.lock import Lock
from gossip.records.recorder import Recorder


@dataclass(frozen=True)
class Order:
    """Which checkpoints are asked for."""

    directory: Path
    """The run directory."""

    interval: Interval
    """When to write."""

    keep: int
    """How many of them are left, >= 1."""

    steps: int
    """Those of the run in all; there is a checkpoint after the last."""

    about: Mapping[str, Any]
    """What is written into each, as JSON: the configuration of the run, the layout of its model."""

    fixed: Mapping[str, Tensor] = field(default_factory=dict)
    """What of the model is not trained, by name; an exported model needs it."""


class CheckpointWriter:
    """Writes the checkpoints of a run, of which it is an observer. Collective, but for `release`.

    Args:
        order: Which.
        algorithm: Whose states they are of.
        processes: The ranks.
        network: What links their nodes.
        recorder: Has the history.
        signals: Tell the run to stop.

    Raises:
        DataError: Another job works in the run directory, or nothing can be written there.
    """

    def __init__(
        self,
        order: Order,
        algorithm: Method,
        *,
        processes: Communicator,
        network: RunNetwork,
        recorder: Recorder,
        signals: Signals,
    ) -> None:
        self._order, self._algorithm = order, algorithm
        self._processes, self._network, self._recorder, self._signals = processes, network, recorder, signals
        self._nodes = nodes_of_sections(network, algorithm)
        self._last = 0  # step at which there was a checkpoint, or the beginning
        self._problem: str | None = None  # why there is none of a later step at which there should be one
        self._asked = time.monotonic()  # when one was last due
        self._stop = 0  # number of the signal
        self._agreement: Agreement | None = None
        self._lock: Lock | None = None
        processes.from_root(self._take)

    def _take(self) -> None:
        self._lock = Lock(self._order.directory)

    def at(self, moment: Moment) -> None:
        """Write a checkpoint if one is due, and stop the run if it has been told to.

        One that cannot be written is a warning: those before it are still there, the run goes on, and the next may be
        written again.

        Raises:
            DataError: The run has been told to stop, and its checkpoint cannot be written.
            PreemptedError: The run has been told to stop.
        """
        if self._agreement is None:  # the run begins, or goes on, here
            self._last = moment.step
            self._agreement = Agreement(self._processes, moment.step, self._ask)
        if self._due(moment.step, self._agreement.at(moment.step)):
            self._write(moment)
        if self._stop:
            raise self._stopped(signal.Signals(self._stop), moment.step)

    def _stopped(self, number: signal.Signals, step: int) -> GossipError:
        """What is raised when all ranks have saved, or cannot, and leave."""
        directory, stopped = self._order.directory, f"stopped by {number.name} after step {step}"
        self._signals.leave(number)
        if self._problem is not None:
            return DataError(f"{stopped}, of which there is no checkpoint: {self._problem}")
        self._processes.from_root(lambda: tell_batch_script(number, directory))
        error = PreemptedError(f"{stopped}; go on with --resume {directory}")
        error.exit_code = exit_code_of(number)
        return error

    def _due(self, step: int, known: Sequence[float] | None) -> bool:
        """Whether to write before this step, given what has become known to all ranks; the same on every rank."""
        late = False
        if known is not None:
            self._stop, late = int(known[0]), bool(known[1])
        if step == self._order.steps:
            self._stop = 0  # nothing is left to be stopped
            late = True
        every = self._order.interval.steps
        regular = every is not None and step % every == 0
        return step > self._last and (bool(self._stop) or late or regular)

    def _ask(self) -> tuple[float, float]:
        """What the ranks agree on: the signal, and on rank 0 whether it is time."""
        stop = 0 if self._signals.received is None else int(self._signals.received)
        now, seconds = time.monotonic(), self._order.interval.seconds
        late = self._processes.rank == 0 and seconds is not None and now - self._asked >= seconds
        if late:
            self._asked = now
        return stop, late

    def _write(self, moment: Moment) -> None:
        """Write a checkpoint, or say why that cannot be done."""
        writer = FolderWriter(step_folder(self._order.directory, moment.step))
        processes, network = self._processes, self._network
        if isinstance(self._algorithm, Algorithm):
            with network.unrecorded():
                self._algorithm.spread(moment.state, network)
        taken = processes.together(lambda: self._taken_apart(moment))
        try:
            writer.folder = processes.from_root(writer.open)
            files = processes.together(lambda: writer.rank_file(processes.rank, taken.rows))
            nodes = list(network.nodes)
            wire = [network.traffic.wire_bytes, network.traffic.wire_messages]
            everyone = processes.gather((files, nodes, wire, taken.outline))
            clock = network.clock_state()
            processes.from_root(lambda: self._close(writer, moment, taken, everyone, clock))
        except DataError as error:
            self._problem = str(error)
            if processes.rank == 0:
                writer.discard()
                self._recorder.not_written("checkpoints", str(error))
        else:
            self._last, self._problem = moment.step, None
            self._recorder.written("checkpoints")

    def _taken_apart(self, moment: Moment) -> StateRows:
        taken, traffic = StateRows(self._algorithm), self._network.traffic
        state, oracle = (moment.state, moment.oracle) if moment.saved is None else moment.saved()
        sections: dict[str, Block] = {
            "algorithm": state,
            "oracle": oracle,
            "network": NetworkSection(self._network.round, traffic.bytes, traffic.messages),
            "model": ModelSection(self._model(moment)),
        }
        for section, part in sections.items():
            taken.take(section, part, self._nodes[section])
        return taken

    def _model(self, moment: Moment) -> Tensor:
        """What the algorithm outputs at the local nodes but servers.

        Without servers it may be a tensor of its state, which is saved once. With servers it is none on any rank, also
        where none of them is: what is saved must be of the same form everywhere.
        """
        model = self._algorithm.model(moment.state)
        return model[: len(self._nodes["model"])] if self._algorithm.servers else model

    def _close(
        self, writer: FolderWriter, moment: Moment, taken: StateRows, everyone: Sequence[Any], clock: dict[str, Any]
    ) -> None:
        """On rank 0: what is common to all ranks, once they have written theirs."""
        files: dict[str, Any] = {}
        states: dict[str, Outline] = {}
        with_data = self._network.n - self._algorithm.without_data
        for rank, (written, nodes, _, outline) in enumerate(everyone):
            files |= {name: {**about, "nodes": nodes} for name, about in written.items()}
            if nodes[0] >= with_data:  # what an oracle has is not known here
                del outline["oracle"]
            for section in outline:
                first = states.setdefault(section, outline[section])
                _check_same(section, first["parts"], outline[section]["parts"], rank)
        if self._order.fixed:
            files |= writer.fixed_file(self._order.fixed)
        posted = self._network.posted
        manifest = {
            "step": moment.step,
            "seconds": moment.seconds,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "ranks": len(everyone),
            **self._order.about,
            "states": states,
            "posted": [taken.name(value) for value in posted[0]],
            "posted_means": [taken.name(value) for value in posted[1]],
            "clock": clock,
            "wire": [wire for _, _, wire, _ in everyone],
        }
        writer.close(manifest, files, self._recorder.history)
        remove_older(writer.final, self._order.keep)

    def release(self) -> None:
        """Leave the run directory to others; nothing is written after this. Not collective."""
        if self._lock is not None:
            self._lock.release()

    def close(self) -> None:
        """Complete what is under way."""
        if self._agreement is not None:
            self._agreement.close()


def _check_same(section: str, first: Mapping[str, Outline], other: Mapping[str, Outline], rank: int) -> None:
    """Refuse what does not belong to nodes and yet is not the same everywhere."""
    for name in first.keys() | other.keys():
        if json.dumps(first.get(name)) != json.dumps(other.get(name)):  # which says that NaN is NaN
            raise UsageError(
                f"{section}.{name} is not a stack, and not the same on rank {rank} as on others: it cannot be saved"
            )
