"""From a graph and a weight rule to a mixing matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topologies.matrices import as_csr, check_on_edges
from topologies.weights.rules import WeightRule, find, in_adjacency

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array


def weigh_graph(graph: nx.Graph, weights: str | WeightRule) -> csr_array:
    """The mixing matrix of a graph under a rule, with weights on edges and the diagonal only."""
    import networkx as nx

    if graph.is_multigraph():
        raise ValueError(
            f"a {type(graph).__name__} has parallel edges, a topology has not: "
            "give networkx.Graph(graph) or networkx.DiGraph(graph)"
        )
    if len(graph) == 0:
        raise ValueError("a topology needs at least one node, the graph given has none")
    graph = nx.convert_node_labels_to_integers(graph)  # a copy, numbered in the order of graph.nodes
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    if weights is None:
        weights = "uniform" if graph.is_directed() else "metropolis"
    return weigh(graph, in_adjacency(graph), weights)


def weigh(graph: nx.Graph | csr_array, adjacency: csr_array, weights: str | WeightRule) -> csr_array:
    """The mixing matrix of a graph whose adjacency is known, under a rule."""
    matrix = as_csr((weights if callable(weights) else find(weights))(graph))
    n = adjacency.shape[0]
    if matrix.shape != (n, n):
        raise ValueError(f"the weights are a matrix of shape {matrix.shape} for a graph of {n} nodes")
    check_on_edges(matrix, adjacency)
    return matrix
