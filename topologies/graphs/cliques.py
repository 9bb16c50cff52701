"""Graphs made of cliques: nodes that are all linked to each other."""

from __future__ import annotations

import math
from collections.abc import Callable

from topologies.graphs.arguments import count
from topologies.graphs.lattices import path, ring
from topologies.graphs.numbering import in_ascending_order
from topologies.graphs.trees import star
from topologies.topology import Topology

__all__ = ["barbell", "complete", "complete_multipartite", "hierarchical", "two_cliques", "wheel"]


def complete(n: int, weights: str = "metropolis") -> Topology:
    """Complete graph: every node is linked to every other; W is the exact average, spectral gap 1.

    Args:
        n: number of nodes. Work and memory grow with n^2.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.complete_graph(count("complete", n)), weights, name="complete")


def barbell(n: int, bridge: int | None = None, weights: str = "metropolis") -> Topology:
    """Two cliques of equal size at the ends of a path. Mixes slowly: the Metropolis gap is of order 1 / n^2.

    Args:
        n: number of nodes, twice the size of a clique and the bridge.
        bridge: nodes between the cliques; by default 0 for even n and 1 for odd n.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n minus the bridge is not twice a number of at least 2, or the weight rule is unknown.
    """
    import networkx as nx

    bridge = count("barbell", n) % 2 if bridge is None else count("barbell", bridge, "bridge", 0)
    size, odd = divmod(n - bridge, 2)
    if odd or size < 2:
        nearest = f"{max(n - 1, 4 + bridge)} and {max(n + 1, 4 + bridge)}" if odd and size >= 2 else 4 + bridge
        raise ValueError(
            f"barbell needs two cliques of at least 2 nodes, so n - bridge even and at least 4; got n = {n} and bridge "
            f"= {bridge}; nearest n: {nearest}"
        )
    return Topology(in_ascending_order(nx.barbell_graph(size, bridge)), weights, name="barbell")


def two_cliques(n: int, links: int = 1, weights: str = "metropolis") -> Topology:
    """Two cliques, whose sizes differ by at most one, with some links from a node of one to a node of the other.

    Link k joins the k-th node of one clique to the k-th node of the other.

    Args:
        n: number of nodes; the first half is one clique.
        links: between the cliques, at most n // 2 (0 for one node).
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n or links is out of range, or the weight rule is unknown.
    """
    import networkx as nx

    half = count("two_cliques", n) - n // 2
    if not (n == 1 or 1 <= links <= n // 2):
        raise ValueError(f"two_cliques needs from 1 to n // 2 = {n // 2} links, got {links!r}")
    graph = nx.disjoint_union(nx.complete_graph(half), nx.complete_graph(n // 2))
    graph.add_edges_from((i, half + i) for i in range(min(links, n // 2)))
    return Topology(graph, weights, name="two_cliques")


def wheel(n: int, weights: str = "metropolis") -> Topology:
    """Wheel: a ring whose nodes are all linked to a hub, node 0.

    The Metropolis spectral gap is 1 / n + (1 - cos(2 pi / (n - 1))) / 2 for n >= 5.

    Args:
        n: number of nodes, the hub included.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.Graph(nx.wheel_graph(count("wheel", n))), weights, name="wheel")


def complete_multipartite(n: int, parts: int = 2, weights: str = "metropolis") -> Topology:
    """Complete multipartite (Turan) graph: all nodes are linked but for those of the same part.

    For parts of equal size s the Metropolis spectral gap is 1 - (s - 1) / (1 + n - s).

    Args:
        n: number of nodes; the sizes of the parts differ by at most one.
        parts: how many, from 2 to n (1 for one node).
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n or parts is out of range, or the weight rule is unknown.
    """
    import networkx as nx

    if count("complete_multipartite", n) == 1:
        return Topology(nx.empty_graph(1), weights, name="complete_multipartite")
    if count("complete_multipartite", parts, "parts", 2) > n:
        raise ValueError(
            f"complete_multipartite needs at most n parts, got n = {n} and parts = {parts}; nearest n is {parts}"
        )
    return Topology(nx.Graph(nx.turan_graph(n, parts)), weights, name="complete_multipartite")


def hierarchical(n: int, hosts: int | None = None, graph: str = "ring", weights: str = "metropolis") -> Topology:
    """Two levels: the nodes of a host form a clique, and the first nodes of the hosts are linked by a graph of hosts.

    Args:
        n: number of nodes; hosts have blocks of numbers whose sizes differ by at most one.
        hosts: how many, at most n; by default the square root of n, rounded down.
        graph: of the hosts: ring, path, complete or star.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, hosts or graph is out of range, or the weight rule is unknown.
    """
    import networkx as nx

    first, blocks = host_blocks("hierarchical", n, hosts)
    linked = nx.empty_graph(n)
    for block in blocks:
        linked.add_edges_from((i, j) for i in block for j in block if i < j)
    between = host_graph_by_name("hierarchical", graph)(len(blocks)).graph
    linked.add_edges_from((first[a], first[b]) for a, b in between.edges)
    return Topology(linked, weights, name="hierarchical")


def host_blocks(family: str, n: int, hosts: int | None) -> tuple[list[int], list[range]]:
    """The first node and all nodes of each host."""
    from topologies.placement import blocks

    hosts = math.isqrt(count(family, n)) if hosts is None else count(family, hosts, "hosts")
    if hosts > n:
        raise ValueError(f"{family} needs at most n hosts, got n = {n} and hosts = {hosts}; nearest n is {hosts}")
    parts = blocks(n, hosts)
    return [part[0] for part in parts], parts


HOSTS: dict[str, Callable[[int], Topology]] = {"ring": ring, "path": path, "complete": complete, "star": star}


def host_graph_by_name(family: str, graph: str) -> Callable[[int], Topology]:
    """The family of graphs of this name for hosts."""
    if graph not in HOSTS:
        raise ValueError(f"{family} knows no graph {graph!r} of hosts, allowed are {', '.join(HOSTS)}")
    return HOSTS[graph]
