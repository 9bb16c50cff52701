"""The run directory, the progress display and the closing table: what rank 0 leaves behind and says."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossip.errors import DataError
from gossip.records.logs import log

if TYPE_CHECKING:
    from rich.progress import Progress

    from topologies import Schedule

LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal


def create_run_directory(output: Path, name: str, config: str) -> Path:
    """Make <output>/<name>/<UTC time>-<hash of the configuration> and write config.yaml there.

    Raises:
        DataError: if it cannot be written.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    base = output / name / f"{stamp}-{sha256(config.encode()).hexdigest()[:8]}"
    directory, copies = base, 1
    while directory.exists():
        copies += 1
        directory = base.with_name(f"{base.name}-{copies}")
    try:
        directory.mkdir(parents=True)
        (directory / "config.yaml").write_text(config)
    except OSError as error:
        raise DataError(
            f"cannot write the run directory {directory} ({error.strerror}); choose another output"
        ) from error
    return directory


class Recorder:
    """Keeps the history of a run; on rank 0 also writes it and shows the progress.

    Args:
        directory: The run directory; None to write nothing.
        steps: Number of steps of the run.
        show: Whether to show the progress.
    """

    def __init__(self, directory: Path | None, steps: int, show: bool) -> None:
        self.directory = directory
        self.history: list[dict[str, Any]] = []
        self.chosen: dict[str, Any] = {}
        self._steps = steps
        self._show = show
        self._bar: Progress | None = None
        self._last_line = time.monotonic()
        if show and sys.stdout.isatty():
            self._bar = _progress_bar()
            self._bar.start()
            self._bar.add_task("training", total=steps)

    def settled(self, chosen: dict[str, Any]) -> None:
        """Keep, and show, what has been chosen for this run: hyper-parameters, a placement."""
        self.chosen |= chosen
        if self._show:
            for name, value in chosen.items():
                print(f"{name.replace('_', ' ')}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}")

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

    def progress(self, step: int) -> None:
        """Show how far the run is; cheap enough to be called at every step."""
        if not self._show:
            return
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, description=self._status())
        elif step == self._steps or time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            print(f"step {step}/{self._steps}  {self._status()}", flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def write_outcome(self, summary: Mapping[str, Any], topology: Schedule) -> None:
        """Write summary.json and report.html, if there is a run directory."""
        if self.directory is None:
            return
        from gossip.records.report.page import write_report

        (self.directory / "summary.json").write_text(to_json(summary, indent=2) + "\n")
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


def print_summary(summary: Mapping[str, Any], directory: Path | None) -> None:
    """The closing table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
    console = Console()
    console.print(table)
    if directory is not None:
        # Not through the console, which would break a long path into lines.
        print(f"report: {directory / 'report.html'}", flush=True)


def to_json(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON in which numbers that are not finite are null, since JSON has none."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
    return json.dumps(finite, indent=indent)


def _progress_bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
