"""The pictures of an asynchronous run in the report: what nodes did when, and how stale their gradients were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gossip.drivers.schedule import GRADIENT, MESSAGE, SECOND, Schedule
from gossip.records.report.words import SECONDS, unit_of
from topologies.pages.style import LINES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 16  # nodes, evenly spaced over the numbers
GRADIENTS = 25  # of the fastest of them, until which the beginning is drawn
MESSAGES = 500  # from which on they would hide the rest


def timeline(schedule: Schedule, clock: str | None = "") -> Figure:
    """The beginning of a run: a row for each node, some of them if there are many, and what it did when.

    A bar is a gradient, from when it was asked for; where there is none the node waited. A line is a message.

    Args:
        schedule: What happened when.
        clock: Which time it is, such as "simulated"; None for times that are no seconds.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    nodes = np.unique(np.linspace(0, schedule.n - 1, min(SHOWN, schedule.n)).round().astype(int))
    row_of = np.full(schedule.n, -1)
    row_of[nodes] = np.arange(len(nodes))
    end = _beginning(schedule, nodes)
    unit = "s" if clock is None else unit_of(end / SECOND, SECONDS)
    scale = SECONDS[unit] * SECOND
    label = "time in the schedule" if clock is None else f"{clock} time ({unit})".lstrip()
    asked, rows = schedule.times[schedule.causes] / scale, row_of[schedule.nodes]
    times, senders = schedule.times / scale, row_of[schedule.senders]
    figure = Figure(figsize=(11.5, 0.8 + 0.22 * len(nodes)), layout="constrained")
    axes = figure.subplots()
    computed = (schedule.kinds == GRADIENT) & (rows >= 0) & (schedule.times[schedule.causes] < end)
    for row in range(len(nodes)):
        here = computed & (rows == row)
        bars = list(zip(asked[here].tolist(), (times - asked)[here].tolist(), strict=True))
        axes.broken_barh(bars, (row - 0.36, 0.72), facecolor=LINES["sky"], edgecolor=LINES["blue"], linewidth=0.6)
    sent = (schedule.kinds == MESSAGE) & (rows >= 0) & (senders >= 0) & (schedule.times[schedule.causes] < end)
    which = np.flatnonzero(sent)[:MESSAGES]
    ends = np.stack([asked[which], senders[which], times[which], rows[which]], axis=1).reshape(-1, 2, 2)
    axes.add_collection(LineCollection(list(ends), colors=LINES["vermilion"], linewidths=0.7))
    axes.set(xlim=(0, end / scale), xlabel=label, ylabel="node")
    axes.set_yticks(range(len(nodes)), [str(node) for node in nodes])
    axes.set_ylim(len(nodes) - 0.4, -0.6)
    return figure


def staleness(schedule: Schedule) -> Figure:
    """How many gradients of others came between the asking for one and its coming, as shares of all of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.2), layout="constrained")
    axes = figure.subplots()
    counted = schedule.staleness()
    most = int(counted.max(initial=0))
    edges = np.unique(np.linspace(0, most + 1, min(most + 2, 40)).round()) - 0.5
    axes.hist(counted, bins=list(edges), weights=np.full(len(counted), 100 / max(1, len(counted))), color=LINES["blue"])
    axes.set(xlabel="gradients of others meanwhile", ylabel="gradients (%)")
    return figure


def _beginning(schedule: Schedule, nodes: np.ndarray) -> int:
    """Until when it is drawn, in nanoseconds: when the first of these nodes has got so many gradients."""
    ends = [int(schedule.times[-1])]
    for node in nodes:
        own = np.flatnonzero((schedule.kinds == GRADIENT) & (schedule.nodes == node))
        ends += schedule.times[own[GRADIENTS - 1 : GRADIENTS]].tolist()
    return max(1, min(ends))
