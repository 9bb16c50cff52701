"""Trees, cliques, expanders, layers and well-known social graphs, each by its number of nodes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from topologies.graphs.lattices import complete, count, path, ring, star
from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx

HOSTS: dict[str, Callable[[int], Topology]] = {"ring": ring, "path": path, "complete": complete, "star": star}


def binary_tree(n: int, weights: str = "metropolis") -> Topology:
    """Binary tree whose levels are full but for the last: node i has the children 2 i + 1 and 2 i + 2.

    Args:
        n: number of nodes.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.full_rary_tree(2, count("binary_tree", n)), weights, name="binary_tree")


def balanced_tree(n: int, branching: int = 2, weights: str = "metropolis") -> Topology:
    """Tree all whose leaves are equally far from the root, and whose other nodes have equally many children.

    Args:
        n: number of nodes, 1 + branching + branching^2 + ...
        branching: children of each node, at least 2.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not such a sum, branching is out of range, or the weight rule is unknown.
    """
    import networkx as nx

    count("balanced_tree", n)
    count("balanced_tree", branching, "branching", 2)
    sizes = [1]
    while sizes[-1] < n:
        sizes.append(branching * sizes[-1] + 1)
    if sizes[-1] != n:
        raise ValueError(
            f"balanced_tree needs n = 1 + {branching} + {branching}^2 + ..., got n = {n}; nearest are {sizes[-2]} and "
            f"{sizes[-1]}"
        )
    return Topology(nx.balanced_tree(branching, len(sizes) - 1), weights, name="balanced_tree")


def double_binary_tree(n: int, weights: str = "metropolis") -> Topology:
    """Two binary trees over the same nodes, such that the inner nodes of one are leaves of the other (but for one).

    In the first tree the parent of r > 0 with lowest set bit b is r - b + 2 b, or r - b where that is no node; the
    second is its mirror image for even n, and the first shifted by one for odd n.

    Source: P. Sanders, J. Speck, J. Traff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan",
    Parallel Computing 35(12), 2009.

    Args:
        n: number of nodes.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    children = np.arange(1, count("double_binary_tree", n))
    lowest = children & -children
    above = (children ^ lowest) | (lowest << 1)
    parents = np.where(above < n, above, children ^ lowest)
    first = children, parents
    second = [n - 1 - each for each in first] if n % 2 == 0 else [(each + 1) % n for each in first]
    ends = [np.concatenate(both) for both in zip(first, second, strict=True)]
    return Topology.from_edges(n, ends[0], ends[1], weights, name="double_binary_tree")


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
    return Topology(_in_order(nx.barbell_graph(size, bridge)), weights, name="barbell")


def two_cliques(n: int, links: int = 1, weights: str = "metropolis") -> Topology:
    """Two cliques, whose sizes differ by at most one, with some links from a node of one to a node of the other.

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

    Args:
        n: number of nodes, the hub included.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.Graph(nx.wheel_graph(count("wheel", n))), weights, name="wheel")


def ladder(n: int, weights: str = "metropolis") -> Topology:
    """Ladder: two paths of which opposite nodes are linked.

    Args:
        n: number of nodes, even.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is odd, or the weight rule is unknown.
    """
    import networkx as nx

    if count("ladder", n) % 2:
        raise ValueError(f"ladder needs an even n, got n = {n}; nearest are {n - 1 or 2} and {n + 1}")
    return Topology(nx.ladder_graph(n // 2), weights, name="ladder")


def complete_multipartite(n: int, parts: int = 2, weights: str = "metropolis") -> Topology:
    """Complete multipartite (Turan) graph: all nodes are linked but for those of the same part.

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


def margulis_gabber_galil(n: int, weights: str = "metropolis") -> Topology:
    """Margulis-Gabber-Galil expander on the pairs (x, y) modulo m; edges that are there twice count once.

    (x, y) is linked to (x +- 2 y, y), (x +- (2 y + 1), y), (x, y +- 2 x) and (x, y +- (2 x + 1)).

    Source: O. Gabber, Z. Galil, "Explicit constructions of linear-sized superconcentrators", JCSS 22(3), 1981.

    Args:
        n: number of nodes, a square m^2.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a square, or the weight rule is unknown.
    """
    import networkx as nx

    root = math.isqrt(count("margulis_gabber_galil", n))
    if root * root != n:
        raise ValueError(
            f"margulis_gabber_galil needs a square, got n = {n}; nearest are {root**2} and {(root + 1) ** 2}"
        )
    return Topology(_in_order(nx.Graph(nx.margulis_gabber_galil_graph(root))), weights, name="margulis_gabber_galil")


def chordal_cycle(n: int, weights: str = "metropolis") -> Topology:
    """Chordal cycle graph, a 3-regular expander: a ring where x and its inverse modulo n are linked too.

    Source: A. Lubotzky, "Discrete groups, expanding graphs and invariant measures", Birkhauser 1994, theorem 4.4.2.

    Args:
        n: number of nodes, a prime.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a prime, or the weight rule is unknown.
    """
    import networkx as nx

    _prime("chordal_cycle", n)
    return Topology(_in_order(nx.Graph(nx.chordal_cycle_graph(n))), weights, name="chordal_cycle")


def paley(n: int) -> Topology:
    """Paley graph: j hears from i if j - i is a square modulo n; uniform weights. Undirected if n = 1 modulo 4.

    Args:
        n: number of nodes, an odd prime.

    Raises:
        ValueError: n is not an odd prime.
    """
    import networkx as nx

    _prime("paley", n, least=3)
    graph = nx.paley_graph(n)
    return Topology(graph.to_undirected() if n % 4 == 1 else graph, name="paley")


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
    between = host_graph("hierarchical", graph)(len(blocks)).graph
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


def host_graph(family: str, graph: str) -> Callable[[int], Topology]:
    """The family of graphs of this name for hosts."""
    if graph not in HOSTS:
        raise ValueError(f"{family} knows no graph {graph!r} of hosts, allowed are {', '.join(HOSTS)}")
    return HOSTS[graph]


def karate_club(n: int = 34, weights: str = "metropolis") -> Topology:
    """Zachary's karate club, 34 members and their friendships.

    Source: W. Zachary, "An information flow model for conflict and fission in small groups", Journal of
    Anthropological Research 33(4), 1977.

    Args:
        n: number of nodes, 34.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is another number, or the weight rule is unknown.
    """
    import networkx as nx

    return _social("karate_club", nx.karate_club_graph(), n, weights)


def davis_women(n: int = 18, weights: str = "metropolis") -> Topology:
    """Davis's southern women: 18 women, linked if they went to a party together.

    Source: A. Davis, B. Gardner, M. Gardner, "Deep South", University of Chicago Press 1941.

    Args:
        n: number of nodes, 18.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is another number, or the weight rule is unknown.
    """
    import networkx as nx

    both = nx.davis_southern_women_graph()
    return _social("davis_women", nx.bipartite.projected_graph(both, both.graph["top"]), n, weights)


def florentine_families(n: int = 15, weights: str = "metropolis") -> Topology:
    """Fifteen families of Florence, linked by marriages.

    Source: R. Breiger, P. Pattison, "Cumulated social roles", Social Networks 8(3), 1986.

    Args:
        n: number of nodes, 15.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is another number, or the weight rule is unknown.
    """
    import networkx as nx

    return _social("florentine_families", nx.florentine_families_graph(), n, weights)


def les_miserables(n: int = 77, weights: str = "metropolis") -> Topology:
    """Les Miserables: 77 figures of the novel, linked if they are in a chapter together.

    Source: D. Knuth, "The Stanford GraphBase", ACM Press 1993.

    Args:
        n: number of nodes, 77.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is another number, or the weight rule is unknown.
    """
    import networkx as nx

    return _social("les_miserables", nx.les_miserables_graph(), n, weights)


def _in_order(graph: nx.Graph) -> nx.Graph:
    """The same graph with its nodes in ascending order, by which a topology numbers them."""
    import networkx as nx

    ordered = nx.Graph()
    ordered.add_nodes_from(sorted(graph))
    ordered.add_edges_from(graph.edges)
    return ordered


def _social(name: str, graph: nx.Graph, n: int, weights: str) -> Topology:
    if count(name, n) != len(graph):
        raise ValueError(f"{name} has n = {len(graph)} nodes, got n = {n}")
    return Topology(graph, weights, name=name)


def _prime(family: str, n: Any, least: int = 2) -> None:
    def is_prime(number: int) -> bool:
        return number >= least and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))

    count(family, n)
    if not is_prime(n):
        below = next((str(each) for each in range(n - 1, 1, -1) if is_prime(each)), "")
        above = next(each for each in range(n + 1, 2 * n + 4) if is_prime(each))
        nearest = f"are {below} and {above}" if below else f"is {above}"
        odd = "an odd prime" if least == 3 else "a prime"
        raise ValueError(f"{family} needs {odd}, got n = {n}; nearest {nearest}")
