"""Rows for the eye and for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from gossip.bench.command import Row

KEYS = ("case", "transport", "topology", "ranks", "dimension", "seconds", "baseline", "baseline_seconds", "ratio")
WIDTH = 200  # characters, without a terminal


def show(rows: Sequence[Row]) -> None:
    """Print a line for each case: its time, and the ratios to the baselines with these' own times."""
    baselines = list(dict.fromkeys(row.baseline for row in rows))
    lines: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.case, row.transport, row.topology, row.dimension), {})[row.baseline] = row

    first = [next(iter(line.values())) for line in lines.values()]
    columns = {
        "case": [row.case for row in first],
        "transport": [row.transport or "" for row in first],
        "topology": [row.topology or "" for row in first],
        "ranks": [str(row.ranks) for row in first],
        "dimension": [f"{row.dimension:,}" for row in first],
        "time": [_duration(row.seconds) for row in first],
        **{f"/ {name}": [_against(line.get(name)) for line in lines.values()] for name in baselines},
        "size": [row.note for row in first],
    }
    table = Table(box=SIMPLE)
    used = {name: texts for name, texts in columns.items() if any(texts)}
    for name in used:
        left = name in ("case", "transport", "topology")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for texts in zip(*used.values(), strict=True):
        table.add_row(*texts)
    # In a file or a pipe nothing is folded to the width that a terminal might have.
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list.

    Raises:
        OSError: if the file cannot be written.
    """
    lines = [json.dumps({key: getattr(row, key) for key in KEYS}) for row in rows]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _against(row: Row | None) -> str:
    if row is None:
        return ""
    if row.ratio is None or row.baseline_seconds is None:
        return "-"
    return f"{_number(row.ratio)} ({_duration(row.baseline_seconds)})"


def _duration(seconds: float) -> str:
    """Three digits, in the unit of their size."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{_number(seconds / scale)} {unit}"
    return f"{_number(seconds / 1e-9)} ns"


def _number(value: float) -> str:
    """Three digits."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
