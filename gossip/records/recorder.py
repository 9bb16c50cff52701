"""The history of a run, and what rank 0 leaves of it in the run directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossip.errors import DataError
from gossip.records.logs import log, warn
from gossip.records.numbers import to_json
from gossip.records.progress import Progress
from gossip.records.replacing import replace_file

if TYPE_CHECKING:
    from gossip.drivers.schedule import Schedule as NodeSchedule
    from gossip.records.loggers.chosen import Loggers
    from gossip.workloads.holdings import Holdings
    from topologies import Schedule

METRICS, REPORT, SCHEDULE = "metrics.jsonl", "report.html", "schedule.npz"


class Recorder:
    """Keeps the history of a run; on rank 0 also writes it and shows the progress.

    Args:
        directory: The run directory; None to write nothing.
        progress: Shows how the run stands; None to show nothing.
        loggers: Are given the records, too.

    Attributes:
        directory: The run directory; None where nothing is written.
        history: One record for each evaluation so far.
        chosen: What has been chosen for this run, by name, for its summary.
        schedule: What happened when, of an asynchronous run that has come to its end.
        unwritten: What should be in the run directory, and why it is not.
    """

    def __init__(
        self, directory: Path | None, progress: Progress | None = None, loggers: Loggers | None = None
    ) -> None:
        self.directory = directory
        self.history: list[dict[str, Any]] = []
        self.chosen: dict[str, Any] = {}
        self.schedule: NodeSchedule | None = None
        self.unwritten: dict[str, str] = {}
        self._progress = progress
        self._loggers = loggers

    def settled(self, chosen: Mapping[str, Any]) -> None:
        """Keep, and show, what has been chosen for this run: hyper-parameters, a placement."""
        self.chosen |= chosen
        if self._progress is not None:
            self._progress.settled(chosen)

    def happened(self, schedule: NodeSchedule) -> None:
        """Keep the schedule of an asynchronous run, in schedule.npz too, and what it comes to."""
        self.schedule = schedule
        staleness = schedule.staleness()
        self.settled({"staleness": float(staleness.mean()) if len(staleness) else 0.0})
        self._try(SCHEDULE, schedule.save)

    def not_written(self, name: str, reason: str) -> None:
        """Note that the run goes on without this in its directory, and say why, unless that has been said."""
        if name not in self.unwritten:
            warn(f"{reason}; the run goes on")
        self.unwritten[name] = reason

    def written(self, name: str) -> None:
        """Note that this is in the run directory now."""
        if self.unwritten.pop(name, None):
            log.info("%s can be written again", name)

    def add(self, record: dict[str, Any]) -> None:
        """Append one record to the history and to metrics.jsonl.

        If that cannot be written, the run goes on, and the next record comes with all that are missing.
        """
        self.history.append(record)
        log.info("step %d  %s", record["step"], self._status())
        late = METRICS in self.unwritten
        self._try(METRICS, self._write_history if late else lambda path: _append(path, to_json(record) + "\n"))
        if self._loggers is not None:
            self._loggers.add(record)

    def resume(self, history: list[dict[str, Any]]) -> None:
        """Go on after these records; what a stopped run has written after them is given up.

        Raises:
            DataError: if metrics.jsonl cannot be written.
        """
        self.history = history
        self.replace(METRICS, self._lines())
        if self._loggers is not None:
            self._loggers.resume(history)

    def replace(self, name: str, text: str) -> None:
        """Replace a file of the run directory, if there is one, at once.

        Raises:
            DataError: if it cannot be written.
        """
        if self.directory is None:
            return
        try:
            replace_file(self.directory / name, text)
        except OSError as error:
            raise DataError(f"cannot write {self.directory / name} ({error.strerror})") from error

    @property
    def lost(self) -> str | None:
        """What of the results is not on disk, in words; a report can be made again."""
        reasons = [reason for name, reason in self.unwritten.items() if name != REPORT]
        return "; ".join(reasons) or None

    def _try(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a file of the run directory, if there is one, or go on without it."""
        if self.directory is None:
            return
        path = self.directory / name
        try:
            write(path)
        except OSError as error:
            self.not_written(name, f"cannot write {path} ({error.strerror})")
        else:
            self.written(name)

    def _write_history(self, path: Path) -> None:
        replace_file(path, self._lines())

    def _lines(self) -> str:
        return "".join(to_json(record) + "\n" for record in self.history)

    def at(self, step: int) -> None:
        """Show that so many steps are done."""
        if self._progress is not None:
            self._progress.at(step, self._status)

    def stopped(self) -> None:
        """The run has not come to its end: it may go on another time."""
        if self._loggers is not None:
            self._loggers.close(None)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.close()

    def write_outcome(
        self,
        summary: Mapping[str, Any],
        topology: Schedule | None,
        config: Callable[[], str],
        held: Callable[[], Holdings | None] = lambda: None,
    ) -> None:
        """Write summary.json, and metrics.jsonl where it is not complete, if there is a run directory.

        And report.html with this topology and what `config` and `held` give, unless the topology is None. What cannot
        be written is in `unwritten`.
        """
        if self.directory is None:
            return
        if self._loggers is not None:
            self._loggers.close(summary)
        if METRICS in self.unwritten:
            self._try(METRICS, self._write_history)
        self._try("summary.json", lambda path: replace_file(path, to_json(summary, indent=2) + "\n"))
        if topology is None:
            return
        from gossip.records.report.page import write_report

        def write(path: Path) -> None:
            history, schedule = self.history, self.schedule
            write_report(
                path,
                summary=summary,
                history=history,
                topology=topology,
                config=config(),
                schedule=schedule,
                held=held(),
            )

        self._try(REPORT, write)

    def _status(self) -> str:
        if not self.history:
            return ""
        last = self.history[-1]
        parts = [f"train loss {last['train_loss']:.4f}", f"test loss {last['test_loss']:.4f}"]
        if "test_accuracy" in last:
            parts.append(f"test accuracy {last['test_accuracy']:.4f}")
        if "epsilon" in last:
            parts.append(f"epsilon {last['epsilon']:.4g}")
        return "  ".join([*parts, f"consensus distance {last['consensus_distance']:.2e}"])


def _append(path: Path, line: str) -> None:
    """Append all of a line, or nothing of it."""
    with path.open("ab", buffering=0) as file:
        size, left = os.fstat(file.fileno()).st_size, line.encode()
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise
