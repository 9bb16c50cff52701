"""The history of a run, and what rank 0 leaves of it in the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossip.errors import DataError
from gossip.records.logs import log
from gossip.records.numbers import to_json
from gossip.records.progress import Progress

if TYPE_CHECKING:
    from topologies import Schedule


class Recorder:
    """Keeps the history of a run; on rank 0 also writes it and shows the progress.

    Args:
        directory: The run directory; None to write nothing.
        progress: Shows how the run stands; None to show nothing.

    Attributes:
        directory: The run directory; None where nothing is written.
        history: One record for each evaluation so far.
        chosen: What has been chosen for this run, by name, for its summary.
    """

    def __init__(self, directory: Path | None, progress: Progress | None = None) -> None:
        self.directory = directory
        self.history: list[dict[str, Any]] = []
        self.chosen: dict[str, Any] = {}
        self._progress = progress

    def settled(self, chosen: Mapping[str, Any]) -> None:
        """Keep, and show, what has been chosen for this run: hyper-parameters, a placement."""
        self.chosen |= chosen
        if self._progress is not None:
            self._progress.settled(chosen)

    def add(self, record: dict[str, Any]) -> None:
        """Append one record to the history and to metrics.jsonl.

        Raises:
            DataError: if that cannot be written.
        """
        self.history.append(record)
        log.info("step %d  %s", record["step"], self._status())
        if self.directory is not None:
            path = self.directory / "metrics.jsonl"
            try:
                with path.open("a") as file:
                    file.write(to_json(record) + "\n")
            except OSError as error:
                raise DataError(f"cannot write {path} ({error.strerror})") from error

    def resume(self, history: list[dict[str, Any]]) -> None:
        """Go on after these records; what a stopped run has written after them is given up.

        Raises:
            DataError: if metrics.jsonl cannot be written.
        """
        self.history = history
        self.replace("metrics.jsonl", "".join(to_json(record) + "\n" for record in history))

    def replace(self, name: str, text: str) -> None:
        """Replace a file of the run directory, if there is one, at once.

        Raises:
            DataError: if it cannot be written.
        """
        if self.directory is None:
            return
        path, new = self.directory / name, self.directory / f".{name}"
        try:
            new.write_text(text)
            new.replace(path)
        except OSError as error:
            raise DataError(f"cannot write {path} ({error.strerror})") from error

    def at(self, step: int) -> None:
        """Show that so many steps are done."""
        if self._progress is not None:
            self._progress.at(step, self._status)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.close()

    def write_outcome(self, summary: Mapping[str, Any], topology: Schedule | None) -> None:
        """Write summary.json, and report.html with this topology unless it is None, if there is a run directory."""
        if self.directory is None:
            return
        (self.directory / "summary.json").write_text(to_json(summary, indent=2) + "\n")
        if topology is None:
            return
        from gossip.records.report.page import write_report

        write_report(
            self.directory / "report.html",
            summary=summary,
            history=self.history,
            topology=topology,
            config=(self.directory / "config.yaml").read_text(),
        )

    def _status(self) -> str:
        if not self.history:
            return ""
        last = self.history[-1]
        parts = [f"train loss {last['train_loss']:.4f}", f"test loss {last['test_loss']:.4f}"]
        if "test_accuracy" in last:
            parts.append(f"test accuracy {last['test_accuracy']:.4f}")
        return "  ".join([*parts, f"consensus distance {last['consensus_distance']:.2e}"])
