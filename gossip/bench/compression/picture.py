"""The picture of errors over bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from gossip.bench.compression.errors import DATA, ErrorRow

SHADES = {  # of kinds of operators
    "sparsifiers": "Blues",
    "quantizers": "OrRd",
    "combinations": "Greens",
    "low rank": "Purples",
}
DARKNESS = (0.45, 1.0)
MARKERS = "osD^v<>pPXhd8*"
LEGEND_LINES = 9
LEAST_BITS, LEAST_ERROR = 1 / 32, 1e-5
TITLES = {"Gaussian": "Gaussian vectors", "Laplace": "Laplace vectors", "gradient": "gradients, perceptron on Mnist"}
BOUND = "bound at the worst vector, 4^(-bits)"


def draw(rows: Sequence[ErrorRow], file: Path) -> None:
    """Draw a panel for each kind of data: a curve for each operator, in a shade of its kind; hollow if unbiased.

    Errors above 1 are drawn at 1. What has fewer bits or smaller errors than the axes is left out.
    """
    rows = [row for row in rows if row.bits_per_entry >= LEAST_BITS and row.error >= LEAST_ERROR]
    styles = _styles(rows)
    figure = Figure(figsize=(12, 7.8), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1.1))
    panels: Sequence[Axes] = grid[0].subgridspec(1, len(DATA), wspace=0.04).subplots(sharex=True, sharey=True)  # type: ignore
    _scale(panels[0], rows)
    for axes, data in zip(panels, DATA, strict=True):
        for name, style in styles.items():
            _curve(axes, [row for row in rows if (row.operator, row.data) == (name, data)], style)
        _bound(axes)
        axes.set_title(TITLES[data], fontsize=11)
        axes.set_xlabel("bits per entry")
        axes.grid(color="0.93")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("|C(x) - x|² / |x|²   (above 1: drawn at 1)")
    _legends(grid[1], styles, rows)
    figure.savefig(file, dpi=150)


def _curve(axes: Axes, rows: Sequence[ErrorRow], style: Mapping[str, Any]) -> None:
    """The points of an operator, joined if they have different bits."""
    points = sorted((row.bits_per_entry, min(row.error, 1)) for row in rows)
    bits = [bits for bits, _ in points]
    if any(right < 1.01 * left for left, right in pairwise(bits)):
        style = {**style, "linestyle": ""}
    axes.plot(bits, [error for _, error in points], clip_on=False, **style)


def _styles(rows: Sequence[ErrorRow]) -> dict[str, dict[str, Any]]:
    """How to draw each operator, by kind and name."""
    operators = {row.operator: row for row in rows}
    styles: dict[str, dict[str, Any]] = {}
    for kind, shades in SHADES.items():
        names = sorted(name for name, row in operators.items() if row.kind == kind)
        colors = colormaps[shades](np.linspace(*DARKNESS, len(names)))
        for marker, name, color in zip(cycle(MARKERS), names, colors, strict=False):
            face = "white" if operators[name].unbiased else color
            styles[name] = {"color": color, "marker": marker, "markersize": 5, "linewidth": 0.9}
            styles[name] |= {"markerfacecolor": face, "markeredgewidth": 1.0, "label": name}
    return styles


def _scale(axes: Axes, rows: Sequence[ErrorRow]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(LEAST_BITS, 1.15 * max(row.bits_per_entry for row in rows))
    axes.set_ylim(LEAST_ERROR, 1.0)
    axes.xaxis.set_major_locator(LogLocator(2, numticks=20))
    axes.xaxis.set_major_formatter(lambda bits, _: f"{bits:g}" if bits >= 1 else f"1/{1 / bits:g}")


def _bound(axes: Axes) -> None:
    """The curve below which no operator is for all vectors."""
    bits = np.geomspace(*axes.get_xlim(), 300)
    axes.plot(bits, 4.0**-bits, color="0.3", linewidth=1.2, linestyle="--", zorder=1)


def _legends(place: SubplotSpec, styles: Mapping[str, dict[str, Any]], rows: Sequence[ErrorRow]) -> None:
    """The operators below the panels, kind by kind, and what the rest means."""
    kinds = {row.operator: row.kind for row in rows}
    groups = {
        kind: [Line2D([], [], **style) for name, style in styles.items() if kinds[name] == kind]
        for kind in SHADES
        if kind in kinds.values()
    }
    plain: dict[str, Any] = {"color": "0.3", "marker": "o", "markersize": 5, "linestyle": ""}
    groups["everywhere"] = [
        Line2D([], [], color="0.3", linewidth=1.2, linestyle="--", label=BOUND),
        Line2D([], [], **plain, markerfacecolor="white", label="unbiased operators"),
        Line2D([], [], **plain, label="biased operators"),
    ]
    widths = [ceil(len(handles) / LEGEND_LINES) for handles in groups.values()]
    for axes, (title, handles), width in zip(
        place.subgridspec(1, len(groups), width_ratios=widths).subplots(squeeze=False)[0],
        groups.items(),
        widths,
        strict=True,
    ):
        axes.axis("off")
        axes.legend(
            handles=handles, title=title, ncols=width, loc="upper left", fontsize=9, frameon=False, alignment="left"
        )
