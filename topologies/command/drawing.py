"""A picture of a topology, for reports. Not imported by the package: matplotlib is heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from topologies.schedule import Schedule
from topologies.topology import Topology

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CIRCULAR = {"ring", "path", "complete", "exponential", "one_peer_exponential", "hypercube", "randomized_gossip"}
GRIDS = {"torus", "grid"}
NUMBERED_NODES = 32  # up to here a number fits into a node
SPRING_NODES = 300  # above, the spring layout takes many seconds
HEAVY_EDGES = 2000  # above, edges are drawn thin, without arrow heads and as pixels: a report stays small

NODE_COLOR = "#3b6ea5"
EDGE_COLOR = "#8a8f98"


def draw(topology: Schedule, axes: Axes | None = None) -> Figure:
    """Draw the communication graph, of a schedule the union over one period.

    Meant to be read at about 4 x 4 inches. Families stand on a circle, grids as such, a torus with border edges
    that are stubs, a star around its hub; other graphs get networkx's spring layout with a fixed seed, and a
    circle when they are large. Arrows point from sender to receiver.

    Args:
        topology: a topology or a schedule.
        axes: where to draw; by default the only axes of a new figure, without pyplot and its global state.

    Returns:
        The figure, to be saved with `figure.savefig`.
    """
    from matplotlib.collections import EllipseCollection
    from matplotlib.figure import Figure

    if axes is None:
        axes = Figure(figsize=(4, 4), layout="constrained").add_subplot()
    positions = _positions(topology)
    radius = _radius(positions)
    _draw_edges(topology, axes, positions, radius)
    sizes = np.full(len(positions), 2 * radius)
    axes.add_collection(
        EllipseCollection(
            sizes, sizes, np.zeros(len(positions)), units="xy", offsets=positions,
            offset_transform=axes.transData, facecolors=NODE_COLOR, edgecolors="white", linewidths=0.5,
            zorder=2,
        )
    )  # fmt: skip
    if topology.n <= NUMBERED_NODES:
        for i, (x, y) in enumerate(positions):
            axes.text(x, y, str(i), color="white", fontsize=7, ha="center", va="center_baseline", zorder=3)
    margin = 0.25 if _is_grid(topology) else 0.12
    axes.set(xlim=(-1 - margin, 1 + margin), ylim=(-1 - margin, 1 + margin), aspect="equal")
    axes.set_axis_off()
    return cast("Figure", axes.get_figure(root=True))


def _draw_edges(topology: Schedule, axes: Axes, positions: np.ndarray, radius: float) -> None:
    """Lines or, of directed graphs, arrows, below the nodes of this radius."""
    from matplotlib.collections import LineCollection

    edges = np.array(topology.graph.edges, dtype=int).reshape(-1, 2)
    heavy = len(edges) > HEAVY_EDGES
    starts, ends = positions[edges[:, 0]], positions[edges[:, 1]]
    if topology.graph.is_directed() and not heavy:
        # An arrow ends at the rim of the receiving node, where its head can be seen.
        steps = ends - starts
        steps *= 1 - 1.1 * radius / np.linalg.norm(steps, axis=1, keepdims=True)
        axes.quiver(
            *starts.T, *steps.T, angles="xy", scale_units="xy", scale=1, color=EDGE_COLOR, alpha=0.8,
            zorder=1, units="inches", width=0.008, headwidth=9, headlength=11, headaxislength=10, minlength=0,
        )  # fmt: skip
    else:
        segments = _stubs(starts, ends) if _is_grid(topology) else np.stack([starts, ends], axis=1)
        width, alpha = (0.2, 0.2) if heavy else (0.8, 0.8)
        axes.add_collection(
            LineCollection(list(segments), colors=EDGE_COLOR, linewidths=width, alpha=alpha, zorder=1, rasterized=heavy)
        )


def _positions(topology: Schedule) -> np.ndarray:
    """(n, 2) positions within [-1, 1]."""
    if _is_grid(topology):
        # Matrix order: row 0 at the top.
        places = np.array(cast("Topology", topology).labels, dtype=float)[:, ::-1] * [1, -1]
        span = max(float(np.ptp(places, axis=0).max()), 1)
        centred: np.ndarray = places - (places.max(axis=0) + places.min(axis=0)) / 2
        return 2 * centred / span
    if topology.name == "star":
        return np.vstack([np.zeros((1, 2)), _circle(topology.n - 1)])  # the hub, node 0, in the middle
    if topology.name in CIRCULAR or topology.n > SPRING_NODES:
        return _circle(topology.n)
    import networkx as nx

    layout = nx.spring_layout(topology.graph.to_undirected(as_view=True), seed=0)
    places = np.array([layout[i] for i in range(topology.n)])
    low, high = places.min(axis=0), places.max(axis=0)
    filled: np.ndarray = (2 * places - low - high) / np.maximum(high - low, 1e-9)
    return filled


def _is_grid(topology: Schedule) -> bool:
    return isinstance(topology, Topology) and topology.name in GRIDS and topology.labels is not None


def _circle(n: int) -> np.ndarray:
    """(n, 2) points on the unit circle, clockwise from the top."""
    angles = 2 * np.pi * np.arange(n) / n if n else np.empty(0)
    return np.column_stack([np.sin(angles), np.cos(angles)])


def _radius(positions: np.ndarray) -> float:
    """Node radius: a share of the typical distance to the nearest other node."""
    from scipy.spatial import KDTree

    if len(positions) == 1:
        return 0.1
    nearest = KDTree(positions).query(positions, k=2)[0][:, 1]
    return float(np.clip(0.4 * np.median(nearest), 0.004, 0.1))


def _stubs(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(segments, 2, 2): grid edges as they are, an edge around the border as two short stubs leaving the
    grid.

    A straight line around the border would lie on top of its whole row or column.
    """
    steps = ends - starts
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    if not len(lengths):
        return np.stack([starts, ends], axis=1)
    unit = lengths.min()
    around = lengths[:, 0] > 1.5 * unit
    out = 0.5 * unit * np.minimum(0.4 / unit, 1) * steps[around] / lengths[around]
    return np.concatenate(
        [
            np.stack([starts[~around], ends[~around]], axis=1),
            np.stack([starts[around], starts[around] - out], axis=1),
            np.stack([ends[around], ends[around] + out], axis=1),
        ]
    )
