"""Event files for TensorBoard, by its own writer, without torch or TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from gossip.records.loggers.logger import About, Record, numbers

FOLDER = "tensorboard"


class TensorBoardLogger:
    """Scalars by the names of the metrics, in <run directory>/tensorboard.

    A run that goes on begins a file of its own with all records so far, which takes the place of what is there:
    TensorBoard drops what was logged before the start of a session for its first step and later ones.
    """

    def open(self, about: About, history: Sequence[Record]) -> None:
        """Begin a file."""
        self._writer = EventFileWriter(str(about.directory / FOLDER))
        self._writer.add_event(Event(step=0, wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)))
        for record in history:
            self._write(record)
        self._writer.flush()

    def add(self, record: Record) -> None:
        """Write the scalars of one step, and have them on disk."""
        self._write(record)
        self._writer.flush()

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, record: Record) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers(record).items()]
        self._writer.add_event(Event(step=record["step"], wall_time=time.time(), summary=Summary(value=values)))
