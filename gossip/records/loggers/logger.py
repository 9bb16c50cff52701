"""The interface of loggers: they are given the rows of metrics.jsonl, on rank 0, as these come up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Record = Mapping[str, Any]
"""One evaluation: "step", and numbers by name."""


@dataclass(frozen=True)
class About:
    """What a log is about."""

    directory: Path
    """The run directory, where the log goes unless the user has set it up otherwise."""

    configuration: Mapping[str, Any]
    """The options of the run, nested as in config.yaml."""

    @property
    def name(self) -> str:
        """What to call the run."""
        return f"{self.directory.parent.name}/{self.directory.name}"


class Logger(Protocol):
    """Writes one log. What it raises ends the log, with a warning, and never the run."""

    def open(self, about: About, history: Sequence[Record]) -> None:
        """The run begins, or goes on after these records; then the log that is there is that of this run.

        Whatever the log holds of a run that has been stopped, each of these records is to be there once afterwards, and
        none of later steps is to be doubled by those that follow.
        """

    def add(self, record: Record) -> None:
        """One more evaluation."""

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The run has ended with this summary; or has been stopped, and may go on another time, if that is None."""


def numbers(record: Record) -> dict[str, float]:
    """What a record says beside its step."""
    return {name: float(value) for name, value in record.items() if name != "step" and value is not None}
