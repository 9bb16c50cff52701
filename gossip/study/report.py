"""Writes the page of a study, and beside it the data, the table and the figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from gossip.errors import DataError, UsageError
from gossip.study.figures import write_figures
from gossip.study.graphs import graphs
from gossip.study.page import study_page
from gossip.study.results import Cell
from gossip.study.statistics import chosen_target
from gossip.study.tables import Table, data_csv, data_json, table


def write_report(title: str, cells: Sequence[Cell], output: Path, target: Mapping[str, float]) -> Table:
    """Write all of it, each file at once, so that a reader never sees half of one.

    Args:
        title: The heading of the page.
        cells: What it is about.
        output: The folder.
        target: A metric and a value to be reached; chosen by the results if it is empty.

    Returns:
        The table.

    Raises:
        UsageError: No run has measured the metric.
        DataError: A file cannot be written.
    """
    measured = {key for cell in cells for run in cell.runs for record in run.history for key in record}
    for metric in target:
        if measured and metric not in measured:
            raise UsageError(
                f"--target {metric} is not measured by these runs; it may be one of {', '.join(sorted(measured))}"
            )
    metric, value = next(iter(target.items()), None) or _target(cells)
    shown = graphs(cells)
    found = table(cells, shown, metric, value)
    texts = {
        "data.csv": data_csv(cells),
        "data.json": data_json(cells, found),
        "table.csv": found.csv(),
        "table.md": found.markdown(),
        "table.tex": found.latex(),
        "report.html": study_page(title, cells, shown, found),
    }
    try:
        output.mkdir(parents=True, exist_ok=True)
        if measured:
            write_figures(cells, metric, value, output / "figures")
        for name, text in texts.items():
            aside = output / f".{name}-{os.getpid()}"
            aside.write_text(text, encoding="utf-8")
            aside.replace(output / name)
    except OSError as error:
        raise DataError(f"cannot write into {output} ({error.strerror}); choose another --output") from error
    return found


def _target(cells: Sequence[Cell]) -> tuple[str, float]:
    return chosen_target([cell.histories for cell in cells]) or ("train_loss", 0.0)
