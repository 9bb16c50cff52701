"""The picture of errors over bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from gossip.bench.frontier import DATA, Row

COLORS = {
    "sparsifiers": "tab:blue",
    "quantizers": "tab:red",
    "combinations": "tab:green",
    "low rank": "tab:purple",
}
MARKERS = "osD^v<>pPXhd8*"
LEGEND_LINES = 7
TITLES = {"Gaussian": "Gaussian vectors", "Laplace": "Laplace vectors", "gradient": "gradients, perceptron on Mnist"}
BOUND = "4^(-bits per entry): none does better for all vectors"
LEAST_ERROR = 1e-4  # shown anyway


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw a panel for each kind of data: a curve for each operator, in the color of its kind; hollow if unbiased.

    Errors above 1 are drawn at 1. Operators without any error cannot be drawn.
    """
    rows = [row for row in rows if row.error > 0]
    styles = _styles(rows)
    with rc_context({"svg.fonttype": "none"}):
        figure = Figure(figsize=(12, 7.4), layout="constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
        panels: Sequence[Axes] = grid[0].subgridspec(1, len(DATA), wspace=0.04).subplots(sharex=True, sharey=True)  # type: ignore
        for axes, data in zip(panels, DATA, strict=True):
            for name, style in styles.items():
                points = sorted(
                    (row.bits_per_entry, min(row.error, 1)) for row in rows if (row.operator, row.data) == (name, data)
                )
                axes.plot(*np.array(points).T, clip_on=False, **style)
            axes.set_title(TITLES[data], fontsize=11)
            axes.set_xlabel("bits per entry")
            axes.grid(color="0.93")
            axes.set_axisbelow(True)
        panels[0].set_ylabel("|C(x) - x|² / |x|²   (above 1: drawn at 1)")
        _scale(panels[0], rows)
        for axes in panels:
            _bound(axes)
        _legends(grid[1], styles, rows)
        figure.savefig(file, dpi=150)


def _styles(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """How to draw each operator, by kind and name."""
    operators = {row.operator: row for row in rows}
    styles: dict[str, dict[str, Any]] = {}
    for kind, color in COLORS.items():
        names = sorted(name for name, row in operators.items() if row.kind == kind)
        for marker, name in zip(cycle(MARKERS), names, strict=False):
            face = "white" if operators[name].unbiased else color
            styles[name] = {"color": color, "marker": marker, "markersize": 5, "linewidth": 0.8}
            styles[name] |= {"markerfacecolor": face, "markeredgewidth": 1.0, "label": name}
    return styles


def _scale(axes: Axes, rows: Sequence[Row]) -> None:
    bits, errors = [row.bits_per_entry for row in rows], [row.error for row in rows]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(min(bits) / 1.3, max(bits) * 1.3)
    axes.set_ylim(min(LEAST_ERROR, *errors) / 2, 1.0)
    axes.xaxis.set_major_formatter(lambda bits, _: f"{bits:.2g}")


def _bound(axes: Axes) -> None:
    """The curve below which no operator is for all vectors."""
    bits = np.geomspace(*axes.get_xlim(), 300)
    axes.plot(bits, 4.0**-bits, color="0.3", linewidth=1.2, linestyle="--", zorder=1)


def _legends(place: SubplotSpec, styles: Mapping[str, dict[str, Any]], rows: Sequence[Row]) -> None:
    """The operators below the panels, kind by kind, and what the rest means."""
    kinds = {row.operator: row.kind for row in rows}
    groups = {
        kind: [Line2D([], [], **style) for name, style in styles.items() if kinds[name] == kind]
        for kind in COLORS
        if kind in kinds.values()
    }
    plain: dict[str, Any] = {"color": "0.3", "marker": "o", "markersize": 5, "linestyle": ""}
    groups["in all colors"] = [
        Line2D(
            [], [], color="0.3", linewidth=1.2, linestyle="--", label="4^(-bits per entry), bound for the worst vector"
        ),
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
