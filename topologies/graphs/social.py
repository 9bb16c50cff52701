"""Well-known social networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topologies.graphs.arguments import count
from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["davis_women", "florentine_families", "karate_club", "les_miserables"]


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


def _social(name: str, graph: nx.Graph, n: int, weights: str) -> Topology:
    if count(name, n) != len(graph):
        raise ValueError(f"{name} has n = {len(graph)} nodes, got n = {n}")
    return Topology(graph, weights, name=name)
