"""Weight rules: from a graph to a mixing matrix W whose rows or columns sum to 1.

A rule takes a networkx graph (n nodes, in the order of `graph.nodes`) and returns W as an (n, n) csr_array.
w_ij is the weight that node i gives to what it hears from j; it is non-zero only on an edge (j, i) and on the
diagonal. Self-loops and edge attributes of the graph are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array


def metropolis(graph: nx.Graph) -> csr_array:
    """Metropolis-Hastings weights: symmetric and doubly stochastic, from the degrees of the two ends only.

        w_ij = 1 / (1 + max(d_i, d_j)) on edges,    w_ii = 1 - sum_j w_ij > 0

    Source: L. Xiao, S. Boyd, S. Lall, "A scheme for robust distributed sensor fusion based on average
    consensus", IPSN 2005; the chain itself is in S. Boyd, P. Diaconis, L. Xiao, "Fastest mixing Markov chain
    on a graph", SIAM Review 46(4), 2004.

    Args:
        graph: an undirected networkx graph.

    Raises:
        ValueError: the graph is directed.
    """
    from scipy.sparse import csr_array, diags_array

    if graph.is_directed():
        raise ValueError(
            "metropolis weights need an undirected graph, got a directed one: use weights='uniform', "
            "or graph.to_undirected() if every edge may run both ways"
        )
    adjacency = in_adjacency(graph)
    degrees = np.diff(adjacency.indptr)
    rows = np.repeat(np.arange(len(degrees)), degrees)
    off_diagonal = adjacency.copy()
    off_diagonal.data = 1.0 / (1 + np.maximum(degrees[rows], degrees[adjacency.indices]))
    return csr_array(off_diagonal + diags_array(1 - off_diagonal.sum(axis=1)))


def uniform(graph: nx.Graph) -> csr_array:
    """Uniform weights over oneself and one's in-neighbours; doubly stochastic if and only if the graph is
    balanced in that sense, for instance regular or circulant.

        w_ij = 1 / (1 + d_i) for j = i and for every in-neighbour j of i, with d_i the in-degree

    Source: the equal-neighbour model of consensus, for instance V. Blondel, J. Hendrickx, A. Olshevsky,
    J. Tsitsiklis, "Convergence in multiagent coordination, consensus, and flocking", CDC 2005.

    Args:
        graph: a directed or undirected networkx graph.
    """
    from scipy.sparse import csr_array, diags_array

    adjacency = in_adjacency(graph)
    shares = 1.0 / (1 + np.diff(adjacency.indptr))
    return csr_array(diags_array(shares) @ adjacency + diags_array(shares))


def push(graph: nx.Graph) -> csr_array:
    """Every node splits what it has evenly among itself and those it sends to: columns that sum to 1.

        w_ij = 1 / (1 + d_j) for i = j and for every out-neighbour i of j, with d_j the out-degree

    The sum over the nodes is kept whatever the graph, as push-sum methods need. Each node needs to know no more
    than its own out-degree. The rows sum to 1 as well if and only if the graph is balanced in that sense.

    Source: D. Kempe, A. Dobra, J. Gehrke, "Gossip-based computation of aggregate information", FOCS 2003;
    A. Nedic, A. Olshevsky, "Distributed optimization over time-varying directed graphs", IEEE TAC 60(3), 2015.

    Args:
        graph: a directed or undirected networkx graph.
    """
    from scipy.sparse import csr_array, diags_array

    adjacency = in_adjacency(graph)
    shares = 1.0 / (1 + np.bincount(adjacency.indices, minlength=adjacency.shape[0]))
    return csr_array(adjacency @ diags_array(shares) + diags_array(shares))


WEIGHTS: dict[str, Callable[[nx.Graph], csr_array]] = {"metropolis": metropolis, "uniform": uniform, "push": push}


def in_adjacency(graph: nx.Graph) -> csr_array:
    """(n, n) matrix of ones where row i marks the in-neighbours of node i; no diagonal.

    Args:
        graph: a networkx graph, its nodes taken in the order of `graph.nodes`.
    """
    import networkx as nx
    from scipy.sparse import csr_array

    adjacency = nx.to_scipy_sparse_array(graph, weight=None, dtype=np.float64, format="coo").T
    off = adjacency.row != adjacency.col
    entries = (adjacency.data[off], (adjacency.row[off], adjacency.col[off]))
    return csr_array(entries, shape=adjacency.shape)
