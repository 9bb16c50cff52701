"""The curves as figures for papers, in SVG and PDF."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossip.study.across import lines, numeric_options
from gossip.study.results import Cell
from gossip.study.statistics import Spread, curve, pareto
from gossip.study.tables import QUANTITIES
from topologies.pages.style import COLORS, line

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

DECADES = 1.5  # positive values that span more get a logarithmic axis
FACTOR = 3  # and so do numbers of an option, or costs at the end of runs, if the largest is so many times the least


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
    """The mean of a metric over a quantity for each cell, with its confidence interval.

    The axis of a cost is logarithmic where the cells' costs at the end lie far apart: then curves of the same form, of
    which one costs a multiple of the other, are shifted sideways. The beginning, which costs nothing, is left out.
    """
    from matplotlib.figure import Figure

    made = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = made.subplots()
    curves = [(place, found) for place, cell in enumerate(cells) if (found := curve(cell.histories, x, y))["x"]]
    ends = [found["x"][-1] for _, found in curves]
    if x != "step" and ends and min(ends) > 0 and max(ends) >= FACTOR * min(ends):
        axes.set_xscale("log")
        curves = [(place, _positive(found)) for place, found in curves]
    values = [value for _, found in curves for value in found["mean"]]
    for place, found in curves:
        style = line(place)
        axes.plot(found["x"], found["mean"], label=cells[place].name, **style)
        if not math.isnan(found["low"][0]):
            axes.fill_between(found["x"], found["low"], found["high"], color=style["color"], alpha=0.15, linewidth=0)
    if _spans_decades(values):
        axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel=_label(x), ylabel=_label(y))
    _show_units(axes.xaxis, x)
    _show_units(axes.yaxis, y)
    if values:
        _add_legend(made, [cell.name for cell in cells])
    return made


def figure_front(cells: Sequence[Cell], metric: str) -> Figure:
    """A metric of each cell at the end over the bytes that its nodes have sent, with confidence intervals, and the
    Pareto front as steps: the best that so few bytes give. What is on it is large and framed; intervals that are far
    larger than the cells are apart are cut off.
    """
    from matplotlib.figure import Figure

    made = Figure(figsize=(6.4, 3.4 + 0.09 * len(cells)), layout="constrained")  # with room for the names
    axes = made.subplots()
    ends = [(cell, cell.final("bytes_sent_per_node"), cell.final(metric)) for cell in cells]
    known = [(cell, cost.mean, end) for cell, cost, end in ends if cost is not None and end is not None]
    points = [(cost, end.mean) for _, cost, end in known]
    on_front = pareto(points, metric)
    for place, ((cell, cost, end), front) in enumerate(zip(known, on_front, strict=True)):
        style = {**line(place), "linestyle": "none", "markersize": 5, "elinewidth": 0.7}
        style |= {"markersize": 8, "markeredgecolor": COLORS["ink"], "zorder": 3} if front else {}
        axes.errorbar(cost, end.mean, end.interval or 0.0, label=cell.name, **style)
    corners = sorted(point for point, front in zip(points, on_front, strict=True) if front)
    costs, values = [cost for cost, _ in points], [value for _, value in points]
    if corners:
        edge = (max(costs), corners[-1][1])
        axes.step(*zip(*corners, edge, strict=True), where="post", color=COLORS["muted"], linewidth=1)
        if min(costs) > 0 and max(costs) >= FACTOR * min(costs):
            axes.set_xscale("log")
        if max(values) > min(values):
            margin = 0.3 * (max(values) - min(values))
            axes.set_ylim(min(values) - margin, max(values) + margin)
        _add_legend(made, [cell.name for cell, _, _ in known], handles=axes.containers)
    axes.set(xlabel=_label("bytes_sent_per_node"), ylabel=_label(metric))
    _show_units(axes.xaxis, "bytes_sent_per_node")
    _show_units(axes.yaxis, metric)
    return made


def figure_across(
    cells: Sequence[Cell], key: str, metric: str, label: str, of: Callable[[Cell], Spread | None]
) -> Figure:
    """A number of each cell over the values of an option, a line for cells that differ in nothing else, with confidence
    intervals; the axis of the option is logarithmic where its values grow by about the same factor.

    Args:
        cells: All of the study.
        key: One of their `numeric_options`.
        metric: By whose unit the number is shown.
        label: What the number is, for the axis.
        of: The number; left out where it is None.
    """
    from matplotlib.figure import Figure

    made = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = made.subplots()
    found = lines(cells, key, of)
    for place, points in enumerate(found.values()):
        ends = [seen.interval or 0.0 for _, seen in points]
        axes.errorbar(
            [at for at, _ in points], [seen.mean for _, seen in points], ends, capsize=2, elinewidth=1, **line(place)
        )
    means = [seen.mean for points in found.values() for _, seen in points]
    if _spans_decades(means):
        axes.set_yscale("log", nonpositive="mask")
    elif min(means, default=-1.0) >= 0:
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))  # of what is never negative, intervals may be
    ticks = sorted({at for points in found.values() for at, _ in points})
    if ticks[0] > 0 and ticks[-1] >= FACTOR * ticks[0]:
        axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=_label(key.rpartition(".")[2]), ylabel=label)
    _show_units(axes.yaxis, metric)
    _add_legend(made, list(found), handles=axes.containers)
    return made


def across_options(cells: Sequence[Cell], metric: str, target: float) -> list[tuple[str, Figure]]:
    """Across every option with at least three numbers: the metric at the end, and the steps and simulated seconds until
    the target."""
    asked = [(metric, metric, _label(metric), partial(Cell.final, metric=metric))]
    for quantity, words in (("step", "steps"), ("simulated_seconds", "simulated seconds")):
        if quantity in quantities(cells):
            until = partial(_until, quantity=quantity, metric=metric, target=target)
            label = f"{words} to a {_label(metric)} of {target:g}"
            asked.append((f"{words.replace(' ', '-')}-to-target", quantity, label, until))
    return [
        (f"{name}-across-{key}", figure_across(cells, key, unit, label, of))
        for key in numeric_options(cells)
        for name, unit, label, of in asked
        if lines(cells, key, of)
    ]


def _until(cell: Cell, quantity: str, metric: str, target: float) -> Spread | None:
    """What it needs until all of its runs have come to the target; None if some never do."""
    found = cell.until(quantity, metric, target)
    return found if found and found.count == len(cell.runs) else None


def write_figures(cells: Sequence[Cell], metric: str, target: float, folder: Path) -> list[Path]:
    """A metric over each quantity and its Pareto front over bytes, and the consensus distance over the steps, as SVG
    and PDF; and of `across_options`.

    Raises:
        OSError: One cannot be written.
    """
    from topologies.pages.template import drawn

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with drawn():
        curves = dict.fromkeys([*((x, metric) for x in quantities(cells)), ("step", "consensus_distance")])
        figures = [(f"{y}-over-{x}", figure(cells, x, y)) for x, y in curves]
        if "bytes_sent_per_node" in quantities(cells):
            figures.append((f"{metric}-front", figure_front(cells, metric)))
        for name, made in [*figures, *across_options(cells, metric, target)]:
            for kind, undated in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                path = folder / f"{name}.{kind}"
                made.savefig(path, metadata=undated)
                written.append(path)
    return written


def _positive(found: dict[str, list[float]]) -> dict[str, list[float]]:
    """The part of a curve that a logarithmic axis has room for."""
    first = sum(at <= 0 for at in found["x"])
    return {name: numbers[first:] for name, numbers in found.items()}


def _spans_decades(values: Sequence[float]) -> bool:
    positive = [value for value in values if value > 0]
    return bool(positive) and min(values) >= 0 and math.log10(max(positive) / min(positive)) >= DECADES


def _show_units(axis: Axis, key: str) -> None:
    """Bytes, seconds and shares as people read them."""
    from matplotlib.ticker import EngFormatter, PercentFormatter

    if key.startswith("bytes"):
        axis.set_major_formatter(EngFormatter("B"))
    elif key.endswith("seconds"):
        axis.set_major_formatter(EngFormatter("s"))
    elif key.endswith("accuracy"):
        axis.set_major_formatter(PercentFormatter(1.0))


def _add_legend(made: Figure, names: Sequence[str], **handles: Any) -> None:
    columns = 1 if max(map(len, names)) > 40 else 2
    made.legend(loc="outside lower center", ncols=columns, **handles, **({"labels": names} if handles else {}))


def _label(key: str) -> str:
    return key.replace("_", " ")
