"""The pictures of the report: how loss, accuracy and consensus went."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from gossip.records.report.words import BYTES, SECONDS, Records, pretty, unit_of
from topologies.pages.style import LINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWABLE = (1e-100, 1e100)  # magnitudes; beyond them an axis has nothing to say, and its limits overflow
MARKED = 30  # up to so many records each is marked with a dot
DECADES = 1.5  # a positive loss that spans more gets a logarithmic axis
LOSSES = (  # key, colour, dashes, name
    ("train_loss", "vermilion", "-", "train"),
    ("test_loss", "blue", "-", "test, averaged model"),
    ("node_test_loss", "sky", "--", "test, each node's own model (mean over nodes)"),
)
ACCURACIES = (
    ("test_accuracy", "blue", "-", "test, averaged model"),
    ("node_test_accuracy", "sky", "--", "test, each node's own model (mean over nodes)"),
)


def learning_curves(history: Records) -> Figure:
    """Loss, and accuracy if there is one, each over steps, bytes sent and time as far as these advance."""
    from matplotlib.figure import Figure

    columns = [("step", column(history, "step"))]
    for key, name, units in (
        ("bytes_sent_per_node", "sent per node", BYTES),
        ("seconds", "time", SECONDS),
        ("simulated_seconds", "simulated time", SECONDS),
    ):
        x = column(history, key)
        known = x[~np.isnan(x)]
        if known.size and known.max() > known.min():
            unit = unit_of(known.max(), units)
            columns.append((f"{name} ({unit})", x / units[unit]))
    rows = [("loss", LOSSES)] + [("accuracy (%)", ACCURACIES)] * any_drawable(history, ACCURACIES)
    figure = Figure(figsize=(11.5, 0.5 + 2.4 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), sharex="col", sharey="row", squeeze=False)
    for (quantity, lines), row in zip(rows, panels, strict=True):
        row[0].set_ylabel(quantity)
        for (_, x), axes in zip(columns, row, strict=True):
            _plot(axes, x, [(column(history, key), *rest) for key, *rest in lines], percent="%" in quantity)
    for (label, _), axes in zip(columns, panels[-1], strict=True):
        axes.set_xlabel(label)
    _whole_steps(panels[0, 0])
    figure.align_ylabels()
    handles, names = panels[0, 0].get_legend_handles_labels()
    if names:
        figure.legend(handles, names, loc="outside upper left", ncols=len(names))
    return figure


def consensus_curve(history: Records) -> Figure:
    """Consensus distance over steps, on a logarithmic axis, where a distance of exactly 0 has no place."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 4.35), layout="constrained")
    axes = figure.subplots()
    distance = column(history, "consensus_distance")
    _plot(axes, column(history, "step"), [(distance, "green", "-", "")], percent=False, decades=0.0)
    _whole_steps(axes)
    axes.set(xlabel="step", ylabel="consensus distance")
    return figure


def _plot(axes: Axes, x: np.ndarray, lines: list[Any], percent: bool, decades: float = DECADES) -> None:
    """Draw lines (y, colour, dashes, name); logarithmic if the positive values span `decades` or more."""
    values = np.concatenate([y[~np.isnan(y)] for y, *_ in lines])
    positive = values[values > 0]
    log = not percent and positive.size > 0 and values.min() >= 0
    log = log and math.log10(positive.max() / positive.min()) >= decades
    for y, color, dashes, name in lines:
        shown = np.where(y > 0, y, np.nan) if log else y * (100 if percent else 1)
        if not np.isnan(shown).all():
            marker = "o" if len(x) <= MARKED else ""
            axes.plot(x, shown, color=LINES[color], linestyle=dashes, marker=marker, label=name or None)
    known = x[~np.isnan(x)]
    if known.size:  # the whole run, also where there is nothing to draw
        pad = 0.02 * (known.max() - known.min()) or 1.0
        axes.set_xlim(known.min() - pad, known.max() + pad)
    if log:
        _logarithmic(axes)
    elif not positive.size and not values.any():
        axes.set_ylim(-0.05, 1)


def _whole_steps(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))


def _logarithmic(axes: Axes) -> None:
    """A logarithmic y axis labelled in plain text, since formulas come out as scattered glyphs."""
    from matplotlib.ticker import LogFormatter

    class Powers(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            labelled = super().__call__(x, pos)
            return labelled and pretty(f"{x:g}" if 1e-3 <= x < 1e4 else f"{x:.0e}")

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(Powers())
    axes.yaxis.set_minor_formatter(Powers(minor_thresholds=(1, 0.4)))


def column(history: Records, key: str) -> np.ndarray:
    """(records,) floats, NaN where there is no number that can be drawn."""
    column = np.array([np.nan if record.get(key) is None else float(record[key]) for record in history])
    smallest, largest = DRAWABLE
    size = np.abs(column)
    return np.where((column == 0) | ((size > smallest) & (size < largest)), column, np.nan)


def any_drawable(history: Records, lines: Iterable[tuple[str, ...]]) -> bool:
    """Whether there is anything to draw."""
    return any(not np.isnan(column(history, key)).all() for key, *_ in lines)
