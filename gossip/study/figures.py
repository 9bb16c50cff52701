"""The curves as figures for papers, in SVG and PDF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gossip.study.results import Cell
from gossip.study.statistics import curve
from gossip.study.tables import QUANTITIES
from topologies.pages.style import line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECADES = 1.5  # positive values that span more get a logarithmic axis


def metrics(cells: Sequence[Cell]) -> list[str]:
    """What there is to draw, the most telling first."""
    first = ["test_accuracy", "test_loss", "train_loss", "consensus_distance", "node_test_accuracy", "node_test_loss"]
    keys = dict.fromkeys(key for cell in cells for run in cell.runs for record in run.history for key in record)
    keys = dict.fromkeys(key for key in keys if key not in QUANTITIES)
    return [*(key for key in first if key in keys), *(key for key in keys if key not in first)]


def quantities(cells: Sequence[Cell]) -> list[str]:
    """What there is to draw it over: those that grow in some run."""
    ends = [run.end for cell in cells for run in cell.runs]
    return [key for key in QUANTITIES if any((end.get(key) or 0) > 0 for end in ends)]


def figure(cells: Sequence[Cell], x: str, y: str) -> Figure:
    """The mean of a metric over a quantity for each cell, with its confidence interval."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = made.subplots()
    values: list[float] = []
    for place, cell in enumerate(cells):
        found = curve(cell.histories, x, y)
        if not found["x"]:
            continue
        values += found["mean"]
        style = line(place)
        axes.plot(found["x"], found["mean"], label=cell.name, **style)
        if not math.isnan(found["low"][0]):
            axes.fill_between(found["x"], found["low"], found["high"], color=style["color"], alpha=0.15, linewidth=0)
    positive = [value for value in values if value > 0]
    if positive and min(values) >= 0 and math.log10(max(positive) / min(positive)) >= DECADES:
        axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel=_label(x), ylabel=_label(y))
    if values:
        made.legend(loc="outside lower center", ncols=1 if max(len(cell.name) for cell in cells) > 40 else 2)
    return made


def write_figures(cells: Sequence[Cell], metric: str, folder: Path) -> list[Path]:
    """A metric over each quantity, and the consensus distance over the steps, as SVG and PDF.

    Raises:
        OSError: One cannot be written.
    """
    from topologies.pages.template import drawn

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with drawn():
        for x, y in [*((x, metric) for x in quantities(cells)), ("step", "consensus_distance")]:
            made = figure(cells, x, y)
            for kind, undated in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                path = folder / f"{y}-over-{x}.{kind}"
                made.savefig(path, metadata=undated)
                written.append(path)
    return written


def _label(key: str) -> str:
    return key.replace("_", " ")
