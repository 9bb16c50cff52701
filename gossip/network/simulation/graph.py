"""Simulated networks that are graphs: nodes, hosts and switches, and the links between them, from a GraphML file."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree.ElementTree import ParseError

import numpy as np

from gossip.errors import DataError
from gossip.network.simulation.compute import Compute, Trace

if TYPE_CHECKING:
    import networkx as nx  # which every rank would pay for otherwise, whatever it simulates

KINDS = ("node", "host", "switch")
SECONDS = {unit: Fraction(1, parts) for unit, parts in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))}
BYTES = {
    f"{prefix}{unit}/s": Fraction(10**power, bits)
    for unit, bits in (("B", 1), ("bit", 8))
    for prefix, power in (("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12))
}
QUANTITY = re.compile(r"\s*([-+.0-9eE]+)\s*(\S*)\s*$")


class Link(NamedTuple):
    """A cable between two vertices: in both directions at once, or one-way if the file says that edges are directed."""

    source: str
    target: str
    latency: float
    """Seconds, >= 0."""
    bandwidth: float
    """Bytes per second, > 0, in each direction."""
    overhead: float = 0.0
    """Seconds, >= 0, that each message takes it beyond its bytes."""


@dataclass(frozen=True)
class LinkGraph:
    """Who is linked to whom, and how fast.

    Args:
        nodes: The names of the vertices that are nodes, in the order of their numbers.
        links: The links between these and others, which are hosts or switches.
        directed: Whether links are one-way.
    """

    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    directed: bool = False

    def __post_init__(self) -> None:
        import networkx as nx

        graph: nx.Graph = nx.DiGraph() if self.directed else nx.Graph()
        graph.add_nodes_from(self.nodes)
        for link in self.links:
            graph.add_edge(link.source, link.target)
            where = f"the link {link.source}-{link.target}"
            for name, valid, allowed in (
                ("latency", 0 <= link.latency < math.inf, ">= 0, in seconds"),
                ("bandwidth", link.bandwidth > 0, "> 0, in bytes per second"),
                ("overhead", 0 <= link.overhead < math.inf, ">= 0, in seconds"),
            ):
                if not valid:
                    raise ValueError(f"{where} has the {name} {getattr(link, name)}; allowed is {allowed}")
            if link.source == link.target:
                raise ValueError(f"{where} leads to where it begins; leave it out")
        if graph.number_of_edges() != len(self.links):
            raise ValueError("two links have the same ends; make one of them, of the bandwidth of both")
        if not self.nodes:
            raise ValueError(
                f"no vertex is a node: kind is to be node, or left out, for all but {' and '.join(KINDS[1:])}"
            )
        reached = nx.descendants(graph, self.nodes[0]) | {self.nodes[0]}
        reaching = nx.ancestors(graph, self.nodes[0]) | {self.nodes[0]} if self.directed else reached
        for node in self.nodes:
            if node not in reached or node not in reaching:
                raise ValueError(f"there is no way over links between {self.nodes[0]} and {node}; add a link")


def read_graphml(file: Path) -> tuple[LinkGraph, Compute]:
    """The network in a GraphML file, with the computing times of its nodes.

    Edges have the attributes `latency` and `bandwidth`, and maybe `overhead`; vertices may have `kind`, which is node,
    host or switch, node if it is left out, and nodes may have `seconds`, how long a gradient takes them, all or none.
    A number is in seconds, or bytes per second; a text says its unit: "50 us", "10 Gbit/s". Nodes are in ascending
    order if all names are numbers, else in that of the file.

    Raises:
        DataError: It cannot be read.
        ValueError: It is none, or lacks something.
    """
    import networkx as nx

    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the network {file} ({error.strerror})") from error
    try:
        graph = nx.read_graphml(io.BytesIO(content))
    except (nx.NetworkXException, ParseError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no GraphML: {' '.join(str(error).split())}") from error
    try:
        return _read(graph)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _read(graph: nx.Graph) -> tuple[LinkGraph, Compute]:
    if graph.is_multigraph():
        raise ValueError("two edges have the same ends; make one of them, of the bandwidth of both")
    for vertex, about in graph.nodes.items():
        if about.get("kind", KINDS[0]) not in KINDS:
            raise ValueError(f"kind = {about['kind']!r} of vertex {vertex} is none of {', '.join(KINDS)}")
    nodes = [vertex for vertex, about in graph.nodes.items() if about.get("kind", KINDS[0]) == KINDS[0]]
    if all(vertex.isdecimal() for vertex in nodes):
        nodes.sort(key=int)
    links = tuple(_link(source, target, about) for source, target, about in graph.edges(data=True))
    timed = [vertex for vertex, about in graph.nodes.items() if "seconds" in about]
    for vertex in timed:
        if vertex not in nodes:
            raise ValueError(
                f"vertex {vertex} is a {graph.nodes[vertex]['kind']}, which computes nothing; only nodes have seconds"
            )
    if timed and len(timed) < len(nodes):
        lacking = next(vertex for vertex in nodes if vertex not in timed)
        raise ValueError(f"node {timed[0]} has seconds and node {lacking} has none; give them to all nodes or to none")
    seconds = [
        _quantity(graph.nodes[vertex]["seconds"], SECONDS, f"seconds of node {vertex}") for vertex in nodes if timed
    ]
    compute = Compute(trace=Trace([np.array([each]) for each in seconds])) if timed else Compute()
    return LinkGraph(tuple(nodes), links, graph.is_directed()), compute


def _link(source: str, target: str, about: Mapping[str, Any]) -> Link:
    where = f"edge {source}-{target}"
    for name, example in (("latency", "50 us"), ("bandwidth", "1 Gbit/s")):
        if name not in about:
            had = f"; it has {', '.join(about)}" if about else ""
            raise ValueError(f"{where} has no {name}{had}; give it one, such as {example}")
    latency, overhead = (
        _quantity(about.get(name, 0.0), SECONDS, f"{name} of {where}") for name in ("latency", "overhead")
    )
    return Link(source, target, latency, _quantity(about["bandwidth"], BYTES, f"bandwidth of {where}"), overhead)


def _quantity(value: Any, units: Mapping[str, Fraction], what: str) -> float:
    """A number in the first of these units."""
    match = None if isinstance(value, bool) else QUANTITY.match(str(value))
    number, unit = match.groups() if match else ("", "")
    unit = unit or next(iter(units))
    try:
        return float(number) * units[unit].numerator / units[unit].denominator
    except (ValueError, LookupError):
        allowed = f"is no number, alone or with one of the units {', '.join(units)}"
        raise ValueError(f"{what} = {value!r} {allowed}") from None
