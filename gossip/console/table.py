"""Rows for the eye and for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossip.console.streams import console

WORDS = ("case", "data", "kind", "operator", "topology", "transport")  # columns of words, the others hold numbers


def show(columns: Mapping[str, Sequence[str]]) -> None:
    """Print the columns that hold anything, by their names."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE)
    used = {name: texts for name, texts in columns.items() if any(texts)}
    for name in used:
        table.add_column(name, justify="left" if name in WORDS else "right", overflow="fold")
    for texts in zip(*used.values(), strict=True):
        table.add_row(*texts)
    console().print(table)


def write(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the records as a JSON list.

    Raises:
        OSError: if the file cannot be written.
    """
    path.write_text("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n", encoding="utf-8")


def duration(seconds: float) -> str:
    """Three digits, in the unit of their size."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{number(seconds / scale)} {unit}"
    return f"{number(seconds / 1e-9)} ns"


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def print_summary(summary: Mapping[str, Any], directory: Path | None, report: bool) -> None:
    """The closing table of a run, and where to look.

    Args:
        summary: What the run was and how it ended.
        directory: The run directory, if there is one.
        report: Whether there is a report in it.
    """
    from rich.table import Table

    table = Table(show_header=False)
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
    console().print(table)
    if directory is not None:
        # Not through the console, which would break a long path into lines.
        place = f"report: {directory / 'report.html'}" if report else f"run directory: {directory}"
        print(place, flush=True)
