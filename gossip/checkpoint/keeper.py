"""When a run writes checkpoints, what is in them, and how it goes on from one."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from algorithms import Algorithm, OracleState, State, Traffic
from algorithms.state import LooseState
from gossip.checkpoint.agreement import Agreement
from gossip.checkpoint.entries import Outline, Parts, Whole
from gossip.checkpoint.store import Checkpoint, Writer, checkpoints, newest, remove_others, step_folder
from gossip.errors import DataError, PreemptedError, UsageError
from gossip.network import Communicator, InProcessNetwork
from gossip.processes.signals import Signals
from gossip.records.configuration import difference
from gossip.records.lock import Lock
from gossip.records.recorder import Recorder


@dataclass(frozen=True)
class Every:
    """How often a run writes checkpoints: every so many steps, or every so many seconds.

    At most one of the two is set; if none is, there is one at the end only, and where the run is told to stop.
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, text: int | str | None) -> Every:
        """From a number of steps such as 500, or seconds such as "30s".

        Raises:
            ValueError: It is neither.
        """
        if text is None:
            return cls()
        number = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)s", str(text))
        every = cls(int(number[1]) if number[1] else None, float(number[2]) if number[2] else None) if number else cls()
        if not every.steps and not every.seconds:
            raise ValueError(
                f"checkpoint_every = {text} is not allowed; it must be a number of steps >= 1 such as 500, or seconds "
                f'> 0 such as "30s"'
            )
        return every


@dataclass(frozen=True)
class Moment:
    """Where a run stands between two steps: the steps done, and all that the next ones depend on.

    Attributes:
        algorithm: The state of the algorithm,
        oracle: and that of the oracle, of the local nodes with data.
        seconds: Spent training so far, by this rank.
    """

    step: int
    algorithm: State
    oracle: OracleState
    seconds: float


class Keeper:
    """Writes the checkpoints of a run, and reads the one that it goes on from. All methods are collective.

    Args:
        directory: The run directory.
        every: When to write.
        keep: How many of them are left, >= 1.
        steps: Of the run.
        about: What is written into each: the configuration of the run, the layout of its model.
        auxiliary: How many nodes, the last ones, have no data.
        processes: The ranks,
        network: and what links their nodes.
        recorder: Has the history.
        signals: Tell the run to stop.

    Raises:
        DataError: Another job works in the run directory, or nothing can be written there.
    """

    def __init__(
        self,
        directory: Path,
        every: Every,
        keep: int,
        steps: int,
        about: Mapping[str, Any],
        auxiliary: int,
        processes: Communicator,
        network: InProcessNetwork,
        recorder: Recorder,
        signals: Signals,
    ) -> None:
        self._directory, self._every, self._keep, self._steps, self._about = directory, every, keep, steps, about
        self._processes, self._network, self._recorder, self._signals = processes, network, recorder, signals
        nodes = network.nodes
        self._with_data = network.n - auxiliary
        self._nodes = {
            "algorithm": nodes,
            "oracle": [node for node in nodes if node < self._with_data],
            "network": nodes,
            "model": nodes,
        }
        self._last = 0  # step at which there was a checkpoint, or the beginning
        self._asked = time.monotonic()  # when one was last due
        self._stop = 0  # number of the signal
        self._agreement: Agreement | None = None
        self._lock: Lock | None = None
        processes.from_root(self._take)

    def _take(self) -> None:
        self._lock = Lock(self._directory)

    def begin(self, step: int) -> None:
        """The run begins, or goes on, with this step."""
        self._last = step
        self._agreement = Agreement(self._processes, step, self._ask)

    def due(self, step: int) -> bool:
        """Whether to save before this step; to be asked before each, the same on every rank."""
        assert self._agreement is not None
        known = self._agreement.at(step)
        late = False
        if known is not None:
            self._stop, late = int(known[0]), bool(known[1])
        if step == self._steps:
            self._stop = 0  # nothing is left to be stopped
            return step > self._last
        regular = self._every.steps is not None and step % self._every.steps == 0
        return bool(self._stop) or (step > self._last and (late or regular))

    def save(self, moment: Moment, algorithm: Algorithm) -> None:
        """Write a checkpoint, unless this is where there was one, and stop the run if it has been told to.

        Raises:
            DataError: It cannot be written. Those before it are still there.
            PreemptedError: The run has been told to stop.
        """
        if moment.step > self._last:
            self._write(moment, algorithm)
            self._last = moment.step
        if self._stop:
            name = signal.Signals(self._stop).name
            raise PreemptedError(f"stopped by {name} after step {moment.step}; go on with --resume {self._directory}")

    def _ask(self) -> tuple[float, float]:
        """What the ranks agree on: the signal, and on rank 0 whether it is time."""
        stop = 0 if self._signals.received is None else int(self._signals.received)
        now, seconds = time.monotonic(), self._every.seconds
        late = self._processes.rank == 0 and seconds is not None and now - self._asked >= seconds
        if late:
            self._asked = now
        return stop, late

    def _write(self, moment: Moment, algorithm: Algorithm) -> None:
        writer = Writer(step_folder(self._directory, moment.step))
        processes, network = self._processes, self._network
        parts = processes.together(lambda: self._parts(moment, algorithm))
        try:
            processes.from_root(writer.open)
            files = processes.together(lambda: writer.rank_file(processes.rank, parts.rows))
            nodes = list(network.nodes)
            wire = [network.traffic.wire_bytes, network.traffic.wire_messages]
            everyone = processes.gather((files, nodes, wire, parts.outline))
            clock = network.clock_state()
            processes.from_root(lambda: self._close(writer, moment, parts, everyone, clock))
        except DataError:
            if processes.rank == 0:
                writer.discard()
            raise

    def _parts(self, moment: Moment, algorithm: Algorithm) -> Parts:
        parts, traffic = Parts(algorithm), self._network.traffic
        states = {
            "algorithm": moment.algorithm,
            "oracle": moment.oracle,
            "network": LooseState(round=self._network.round, bytes=traffic.bytes, messages=traffic.messages),
            "model": LooseState(x=algorithm.model(moment.algorithm)),
        }
        for section, state in states.items():
            parts.take(section, state, self._nodes[section])
        return parts

    def _close(
        self, writer: Writer, moment: Moment, parts: Parts, everyone: Sequence[Any], clock: dict[str, Any]
    ) -> None:
        """On rank 0: what is common to all ranks, once they have written theirs."""
        files: dict[str, Any] = {}
        states: dict[str, Outline] = {}
        for rank, (written, nodes, _, outline) in enumerate(everyone):
            files |= {name: {**about, "nodes": nodes} for name, about in written.items()}
            if nodes[0] >= self._with_data:  # what an oracle has is not known here
                del outline["oracle"]
            for section in outline:
                first = states.setdefault(section, outline[section])
                _check_same(section, first["parts"], outline[section]["parts"], rank)
        posted = self._network.posted
        manifest = {
            "step": moment.step,
            "seconds": moment.seconds,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "ranks": len(everyone),
            **self._about,
            "states": states,
            "posted": [parts.name(value) for value in posted[0]],
            "posted_means": [parts.name(value) for value in posted[1]],
            "clock": clock,
            "wire": [wire for _, _, wire, _ in everyone],
        }
        writer.close(manifest, files, self._recorder.history)
        remove_others(writer.final, self._keep)

    def resume(self, folder: Path, algorithm: Algorithm, device: torch.device) -> Moment:
        """Where the run stood when this checkpoint was written, with the network and the recorder as they were then.

        Raises:
            DataError: It is damaged.
        """
        processes, network = self._processes, self._network
        checkpoint = processes.together(lambda: Checkpoint(folder))
        processes.from_root(checkpoint.check_names)
        history = processes.from_root(checkpoint.history)
        outlines = checkpoint.manifest["states"]
        whole = Whole(algorithm, checkpoint, device)

        def states() -> dict[str, Any]:
            return {
                name: whole.state(name, outlines[name], self._nodes[name])
                for name in ("algorithm", "oracle", "network")
            }

        restored = processes.together(states)
        checkpoint.close()
        processes.together(lambda: self._recorder.resume(history))
        counts = restored["network"]
        # What ranks have handed to MPI; fewer ranks than before carry on the counts of several.
        wire = np.sum(checkpoint.manifest["wire"][processes.rank :: processes.size] or [[0, 0]], axis=0).tolist()
        posted = [whole.named(name) for name in checkpoint.manifest["posted"]]
        means = [cast(Tensor, whole.named(name)) for name in checkpoint.manifest["posted_means"]]
        network.load_clock_state(checkpoint.manifest["clock"])
        network.resume(counts.round, Traffic(counts.bytes, counts.messages, *wire), posted, means)
        return Moment(checkpoint.step, restored["algorithm"], restored["oracle"], checkpoint.manifest["seconds"])

    def release(self) -> None:
        """Leave the run directory to others; nothing is written after this. The one method that is not collective."""
        if self._lock is not None:
            self._lock.release()

    def close(self) -> None:
        """Complete what is under way."""
        if self._agreement is not None:
            self._agreement.close()


def find(resume: str | Path, runs: Path, configuration: Mapping[str, Any], steps: int) -> Path | None:
    """The checkpoint to go on from.

    Args:
        resume: A run directory, a checkpoint in it, or "auto" for the last run of this configuration that has not come
            to its end.
        runs: Where there may be such runs.
        configuration: Of the run that is to go on.
        steps: That it is to make in all.

    Returns:
        A checkpoint's folder; None if there is none with "auto".

    Raises:
        DataError: There is none, or it is damaged.
        UsageError: It is one of another configuration, or of a later step.
    """
    folder = _last_of(configuration, runs, steps) if resume == "auto" else newest(Path(resume))
    if folder is None:
        return None
    checkpoint = Checkpoint(folder)
    differs = difference(checkpoint.manifest["configuration"], configuration)
    if differs:
        raise UsageError(f"the checkpoint {folder} is of another run: {differs}")
    if checkpoint.step > steps:
        raise UsageError(f"the checkpoint {folder} is beyond steps = {steps}; ask for more, or give an earlier one")
    return folder


def _last_of(configuration: Mapping[str, Any], runs: Path, steps: int) -> Path | None:
    """The last checkpoint of the last run that "auto" means."""
    for directory in sorted(runs.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True):
        found = checkpoints(directory)
        if not found or _is_over(directory, steps):
            continue
        if difference(Checkpoint(found[-1]).manifest["configuration"], configuration) is None:
            return found[-1]
    return None


def _is_over(directory: Path, steps: int) -> bool:
    """Whether a run has come to its end and been no shorter than this."""
    try:
        summary = json.loads((directory / "summary.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(summary["status"] == "finished" and summary["steps"] >= steps)


def _check_same(section: str, first: Mapping[str, Outline], other: Mapping[str, Outline], rank: int) -> None:
    """Refuse what does not belong to nodes and yet is not the same everywhere."""
    for name in first.keys() | other.keys():
        if json.dumps(first.get(name)) != json.dumps(other.get(name)):  # which says that NaN is NaN
            raise UsageError(
                f"{section}.{name} is not a stack, and not the same on rank {rank} as on others: it cannot be saved"
            )
