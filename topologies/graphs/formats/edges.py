"""The edges that a file lists, before they are a topology: put in order, merged, and cut to a component."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Edges:
    """Some nodes and edges between them."""

    labels: Sequence[Any]
    """(n,) what the file calls each node, all different."""

    senders: np.ndarray
    """(m,) ints, the number of the node at one end of each edge."""

    receivers: np.ndarray
    """(m,) ints, the other end."""

    weights: np.ndarray
    """(m,) floats; nan where the file gives none."""

    directed: bool | None = False
    """Whether an edge runs from its sender to its receiver only.

    None leaves it to the edges: undirected if each of them runs both ways."""

    @property
    def n(self) -> int:
        """The number of nodes."""
        return len(self.labels)

    def pair(self, edge: int) -> str:
        """The names of the ends of an edge, for messages."""
        return f"({self.labels[self.senders[edge]]}, {self.labels[self.receivers[edge]]})"

    def adjacency(self) -> csr_array:
        """(n, n), row i marks the nodes that i hears from."""
        from scipy.sparse import csr_array

        ends = np.concatenate([self.receivers, self.senders]), np.concatenate([self.senders, self.receivers])
        if self.directed:
            ends = self.receivers, self.senders
        return csr_array((np.ones(len(ends[0])), ends), shape=(self.n, self.n))


class Collector:
    """Makes `Edges` of one edge after the other, the nodes in the order in which they come."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}
        self.senders: list[int] = []
        self.receivers: list[int] = []
        self.weights: list[float] = []

    def node(self, label: Hashable) -> int:
        """The number of this node."""
        return self.numbers.setdefault(label, len(self.numbers))

    def edge(self, sender: Hashable, receiver: Hashable, weight: float = math.nan) -> None:
        """Add an edge, and its ends if they are new."""
        self.senders.append(self.node(sender))
        self.receivers.append(self.node(receiver))
        self.weights.append(weight)

    def edges(self, directed: bool | None, labels: Sequence[Any] | None = None) -> Edges:
        """All of them; the labels may replace those by which the nodes were told apart."""
        ends = np.array(self.senders, dtype=np.int64), np.array(self.receivers, dtype=np.int64)
        return Edges(labels or list(self.numbers), *ends, np.array(self.weights, dtype=np.float64), directed)


def from_networkx(graph: nx.Graph) -> Edges:
    """The edges of a graph of any kind; the attribute "weight", or else "value", is the weight."""
    found = Collector()
    for node in graph:
        found.node(node)
    for sender, receiver, data in graph.edges(data=True):
        found.edge(sender, receiver, as_weight(data.get("weight", data.get("value"))))
    return found.edges(graph.is_directed())


def as_weight(value: Any) -> float:
    """The number that is meant; nan if it is none."""
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value.strip()) else math.nan
    return float(value) if isinstance(value, int | float | np.number) and math.isfinite(value) else math.nan


def as_number(label: Any) -> int | float | None:
    """The number that is a node's label, an int if it is whole; None if it is something else."""
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return int(label)
    if not isinstance(label, str) or not NUMBER.fullmatch(label):
        return None
    if label.lstrip("+-").isdecimal():
        return int(label)
    value = float(label)
    return int(value) if value.is_integer() else value if math.isfinite(value) else None


def in_order(edges: Edges) -> Edges:
    """With the nodes in ascending order, if all labels are numbers and no two of them the same."""
    numbers = [as_number(label) for label in edges.labels]
    known = [number for number in numbers if number is not None]
    if len(known) < edges.n or len(set(known)) < edges.n:
        return edges
    order = sorted(range(edges.n), key=lambda i: known[i])
    place = np.empty(edges.n, dtype=np.int64)
    place[order] = np.arange(edges.n)
    return replace(
        edges, labels=[known[i] for i in order], senders=place[edges.senders], receivers=place[edges.receivers]
    )


def simple(edges: Edges, path: str, weighted: bool) -> Edges:
    """Without loops, and with each edge once; what was left to the edges is decided.

    Warns:
        UserWarning: An edge is there several times. (Once each way in an undirected file is no news.)

    Raises:
        ValueError: The weights are asked for, and an edge has two.
    """
    edges = _chosen(edges, np.flatnonzero(edges.senders != edges.receivers))
    once, repeated = _once(edges, edges.senders * edges.n + edges.receivers, weighted)
    if len(repeated):
        count, pair = len(repeated), edges.pair(int(repeated[0]))
        what = "edge is" if count == 1 else "edges are"
        warnings.warn(f"{path}: {count} {what} there again, such as {pair}; each counts once", stacklevel=2)
    if once.directed is None:
        once = replace(once, directed=not _runs_both_ways(once, weighted))
    return once if once.directed else undirected(once, weighted)


def undirected(edges: Edges, weighted: bool) -> Edges:
    """The same edges, each of which runs both ways.

    Raises:
        ValueError: The weights are asked for, and differ by the way.
    """
    low, high = np.minimum(edges.senders, edges.receivers), np.maximum(edges.senders, edges.receivers)
    return _once(replace(edges, directed=False), low * edges.n + high, weighted)[0]


def largest_component(edges: Edges) -> Edges | None:
    """The largest part in which every node reaches every other; None if that is all."""
    from scipy.sparse.csgraph import connected_components

    count, component = connected_components(edges.adjacency(), directed=True, connection="strong")
    if count == 1:
        return None
    kept = np.flatnonzero(component == np.argmax(np.bincount(component)))
    place = np.full(edges.n, -1)
    place[kept] = np.arange(len(kept))
    inside = _chosen(edges, np.flatnonzero((place[edges.senders] >= 0) & (place[edges.receivers] >= 0)))
    return replace(
        inside,
        labels=[edges.labels[i] for i in kept.tolist()],
        senders=place[inside.senders],
        receivers=place[inside.receivers],
    )


def _chosen(edges: Edges, which: np.ndarray) -> Edges:
    return replace(edges, senders=edges.senders[which], receivers=edges.receivers[which], weights=edges.weights[which])


def _once(edges: Edges, keys: np.ndarray, weighted: bool) -> tuple[Edges, np.ndarray]:
    """The first of the edges of each key, and the numbers of the others."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if weighted:
        given, kept = edges.weights, edges.weights[first][inverse]
        differ = np.flatnonzero((given != kept) & ~(np.isnan(given) & np.isnan(kept)))
        if len(differ):
            raise ValueError(
                f"edge {edges.pair(int(differ[0]))} has the weights {kept[differ[0]]:g} and {given[differ[0]]:g}, and "
                f"edge_weights need one"
            )
    chosen = np.sort(first)
    return _chosen(edges, chosen), np.setdiff1d(np.arange(len(keys)), chosen, assume_unique=True)


def _runs_both_ways(edges: Edges, weighted: bool) -> bool:
    """Whether each edge, of which there is one, is there the other way too, with the same weight if that matters."""
    there, back = (
        np.argsort(keys)
        for keys in (edges.senders * edges.n + edges.receivers, edges.receivers * edges.n + edges.senders)
    )
    if (edges.senders[there] != edges.receivers[back]).any() or (edges.receivers[there] != edges.senders[back]).any():
        return False
    return not weighted or bool(np.array_equal(edges.weights[there], edges.weights[back], equal_nan=True))
