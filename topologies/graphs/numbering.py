"""The order of the nodes of a graph, by which a topology numbers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx


def in_ascending_order(graph: nx.Graph) -> nx.Graph:
    """The same graph with its nodes in ascending order, by which a topology numbers them."""
    import networkx as nx

    ordered = nx.Graph()
    ordered.add_nodes_from(sorted(graph))
    ordered.add_edges_from(graph.edges)
    return ordered


def numbered(graph: nx.Graph) -> nx.Graph:
    """Without parallel edges; nodes that are 0..n-1, also as words, in this order."""
    import networkx as nx

    simple = nx.DiGraph(graph) if graph.is_directed() else nx.Graph(graph)
    numbers = {node: int(node) for node in simple if str(node).isdecimal()}
    if sorted(numbers.values()) != list(range(len(simple))):
        return simple
    ordered = simple.__class__(name=graph.graph.get("name", ""))
    ordered.add_nodes_from(range(len(simple)))
    ordered.add_edges_from((numbers[i], numbers[j], data) for i, j, data in simple.edges(data=True))
    return ordered
