"""The picture of who has what in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gossip.workloads.holdings import Holdings
from topologies.pages.style import LINES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NODES, LABELS = 60, 40  # shown at most, evenly spaced over all
LARGEST = 12.0  # points, the diameter of the largest dot


def who_has_what(held: Holdings) -> Figure:
    """Nodes across, labels upwards: the area of a dot is the number of examples. Bars above are sums over labels."""
    from matplotlib.figure import Figure

    n, kinds = held.counts.shape
    nodes, labels = _some(n, NODES), _some(kinds, LABELS)
    figure = Figure(figsize=(11.5, 1.6 + 0.22 * len(labels) * (kinds > 1)), layout="constrained")
    ratios = {"height_ratios": [1, max(0.5, 0.2 * len(labels))]}
    panels = figure.subplots(1 + (kinds > 1), 1, sharex=True, squeeze=False, gridspec_kw=ratios if kinds > 1 else None)
    sizes = panels[0, 0]
    sizes.bar(range(len(nodes)), held.counts[nodes].sum(axis=1), color=LINES["sky"])
    sizes.set(ylabel="examples")
    if kinds > 1:
        shown = held.counts[np.ix_(nodes, labels)]
        places, heights = np.nonzero(shown)
        areas = LARGEST**2 * shown[places, heights] / shown.max()
        panels[1, 0].scatter(places, heights, s=areas, color=LINES["blue"], linewidths=0)
        panels[1, 0].set_yticks(range(len(labels)), [held.labels[label] for label in labels.tolist()])
        panels[1, 0].set(ylabel="label", ylim=(-0.7, len(labels) - 0.3))
    every = -(-len(nodes) // 20)
    ticks = range(0, len(nodes), every)
    panels[-1, 0].set_xticks(ticks, [str(nodes[place]) for place in ticks])
    panels[-1, 0].set(xlabel="node", xlim=(-0.8, len(nodes) - 0.2))
    return figure


def in_words(held: Holdings) -> str:
    """How different the nodes are, in one line."""
    sizes = held.counts.sum(axis=1)
    words = f"{sizes.sum()} training examples, {sizes.min()} to {sizes.max()} on a node"
    if held.counts.shape[1] > 1:
        kinds = (held.counts > 0).sum(axis=1)
        words += (
            f", of {kinds.min()} to {kinds.max()} labels" if kinds.min() < kinds.max() else f", of {kinds[0]} labels"
        )
    n, labels = held.counts.shape
    some = [
        f"{shown} of {total} {what}"
        for shown, total, what in ((NODES, n, "nodes"), (LABELS, labels, "labels"))
        if total > shown
    ]
    return words + (f"; shown are {' and '.join(some)}" if some else "")


def _some(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
