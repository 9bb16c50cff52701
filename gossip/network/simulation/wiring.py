"""The links of a simulated network, and which of them a message takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gossip.network.simulation.compute import Nanoseconds, in_nanoseconds
from gossip.network.simulation.description import Level, SimulatedNetwork
from gossip.network.simulation.failures import Outage
from gossip.network.simulation.graph import LinkGraph

SOURCES = 1024  # nodes of which all ways are kept

Way = tuple[list[int], int]
"""The links from one node to another, in their order, and the nanoseconds of latency."""


class Wiring(Protocol):
    """The links of a network by number, each of which carries one message after the other in one direction."""

    bandwidths: NDArray[np.float64]
    """(links,) bytes per second."""

    overheads: Nanoseconds
    """(links,) for each message, beyond its bytes."""

    cables: Sequence[tuple[int, ...]]
    """The links that fail together."""

    def way(self, sender: int, listener: int) -> Way:
        """Which links a message takes from one node to another."""

    def cable(self, outage: Outage) -> int:
        """The number of the cable that is down.

        Raises:
            ValueError: There is none.
        """


def wired(network: SimulatedNetwork, n: int) -> Wiring:
    """The links of a network of n nodes.

    Raises:
        ValueError: It has another number of nodes.
    """
    if network.graph is None:
        return LevelWiring(network.levels, n)
    nodes = len(network.graph.nodes)
    if nodes != n:
        raise ValueError(
            f"the graph of the network has {nodes} nodes, and the run has {n}, servers included; they must be as many "
            f"(vertices that are no nodes have the kind host or switch)"
        )
    return GraphWiring(network.graph)


class LevelWiring:
    """Each member of each level has an up-link and a down-link; see `Level`."""

    def __init__(self, levels: Sequence[Level], n: int) -> None:
        self._levels = levels
        self._groups = _groups(levels, n)
        self._counts = [int(groups.max()) + 1 for groups in self._groups]
        self._first = np.concatenate([[0], np.cumsum([2 * count for count in self._counts])])
        each = [(level, count) for level, count in zip(levels, self._counts, strict=True)]
        self.bandwidths = np.concatenate(
            [
                np.full(count, bandwidth or level.bandwidth)
                for level, count in each
                for bandwidth in (level.up, level.down)
            ]
        )
        self.overheads = in_nanoseconds(np.concatenate([np.full(2 * count, level.overhead) for level, count in each]))
        self.cables: Sequence[tuple[int, ...]] = [
            (first + member, first + count + member)
            for first, count in zip(self._first.tolist(), self._counts, strict=False)
            for member in range(count)
        ]

    def way(self, sender: int, listener: int) -> Way:
        """See `Wiring`: up to the level at which they meet, whose latency it has, and down."""
        up, down = [], []
        for level, groups in enumerate(self._groups):
            first, count = int(self._first[level]), self._counts[level]
            up.append(first + int(groups[sender]))
            down.append(first + count + int(groups[listener]))
            above = self._groups[level + 1] if level + 1 < len(self._groups) else None
            if above is None or above[sender] == above[listener]:
                latency = int(in_nanoseconds(self._levels[level].latency))
                return [*up, *reversed(down)], latency
        raise AssertionError("the uppermost level is one group")

    def cable(self, outage: Outage) -> int:
        """See `Wiring`."""
        level, member = outage.level, outage.member
        if level is None or member is None:
            raise ValueError(f"the outage of the link {outage.link} is one of a graph; on levels give level and member")
        if not (0 <= level < len(self._counts) and 0 <= member < self._counts[level]):
            counts = ", ".join(f"{count} at level {each}" for each, count in enumerate(self._counts))
            raise ValueError(f"there is no member {member} at level {level} that could be down; there are {counts}")
        return sum(self._counts[:level]) + member


class GraphWiring:
    """Messages take the way of the shortest latency; of equal ones that over fewest links, and then the first found."""

    def __init__(self, graph: LinkGraph) -> None:
        import networkx as nx

        self._nodes = graph.nodes
        ends = [(link.source, link.target) for link in graph.links]
        sides = 1 if graph.directed else 2
        self.bandwidths = np.repeat([link.bandwidth for link in graph.links], sides)
        self.overheads = in_nanoseconds(np.repeat([link.overhead for link in graph.links], sides))
        self.cables: Sequence[tuple[int, ...]] = [tuple(range(sides * i, sides * (i + 1))) for i in range(len(ends))]
        latencies = in_nanoseconds([link.latency for link in graph.links]).tolist()
        # A latency counts more than all links of a way, so that these decide among ways of the same latency.
        most = len(ends) + 1
        self._graph = nx.DiGraph()
        for i, ((source, target), latency) in enumerate(zip(ends, latencies, strict=True)):
            about = {"latency": latency, "weight": latency * most + 1}
            self._graph.add_edge(source, target, link=sides * i, **about)
            if not graph.directed:
                self._graph.add_edge(target, source, link=sides * i + 1, **about)
        self._paths = lru_cache(maxsize=SOURCES)(self._find_paths)

    def way(self, sender: int, listener: int) -> Way:
        """See `Wiring`."""
        path = self._paths(sender)[self._nodes[listener]]
        hops = [self._graph.edges[hop] for hop in pairwise(path)]
        return [hop["link"] for hop in hops], sum(hop["latency"] for hop in hops)

    def cable(self, outage: Outage) -> int:
        """See `Wiring`."""
        if outage.link is None:
            raise ValueError("the outage of a level's member is one of levels; on a graph give link: [vertex, vertex]")
        if not self._graph.has_edge(*outage.link):
            raise ValueError(f"there is no link between {' and '.join(outage.link)} that could be down")
        link = self._graph.edges[outage.link]["link"]
        return next(number for number, links in enumerate(self.cables) if link in links)

    def _find_paths(self, sender: int) -> dict[str, list[str]]:
        import networkx as nx

        return dict(nx.single_source_dijkstra_path(self._graph, self._nodes[sender]))


def _groups(levels: Sequence[Level], n: int) -> list[NDArray[np.int64]]:
    """Of each level, the member that each node belongs to, as a number."""
    groups = [np.arange(n)]
    for level in levels[:-1]:
        assert level.members is not None
        groups.append(groups[-1] // level.members)
    return groups
