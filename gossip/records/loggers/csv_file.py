"""metrics.csv: a table with a line for each evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossip.records.loggers.logger import About, Record
from gossip.records.replacing import replace_file

FILE = "metrics.csv"


class CsvLogger:
    """Writes all of the table at the beginning and where a column is new, and else a line at a time."""

    def __init__(self) -> None:
        self._path = Path()
        self._rows: list[Record] = []
        self._columns: list[str] = []

    def open(self, about: About, history: Sequence[Record]) -> None:
        """Write these records, in the place of what is there."""
        self._path, self._rows = about.directory / FILE, list(history)
        self._rewrite()

    def add(self, record: Record) -> None:
        """Append a line."""
        self._rows.append(record)
        if not set(record) <= set(self._columns):
            self._rewrite()
            return
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._text([record]))

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Nothing is held."""

    def _rewrite(self) -> None:
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))
        header = ",".join(self._columns) + "\n" if self._columns else ""
        replace_file(self._path, header + self._text(self._rows))

    def _text(self, rows: Sequence[Record]) -> str:
        out = io.StringIO()
        csv.DictWriter(out, self._columns, restval="", lineterminator="\n").writerows(rows)
        return out.getvalue()
