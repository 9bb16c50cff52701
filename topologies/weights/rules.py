"""Weight rules: from a graph to a mixing matrix W whose rows or columns sum to 1.

A rule takes a networkx graph (n nodes, in the order of `graph.nodes`), or a sparse (n, n) adjacency matrix whose row
i marks the in-neighbours of node i, and returns W as an (n, n) csr_array. w_ij is the weight that node i gives to what
it hears from j; it is non-zero only on an edge (j, i) and on the diagonal. Self-loops and edge attributes of the graph
are ignored, but for `edge_weights`. `find` makes a rule of a name, with "lazy_" before the name of any other too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from topologies.matrices import is_directed
from topologies.weights.optimal import fastest_averaging, fastest_markov_chain

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

WeightRule = Callable[["nx.Graph | csr_array"], "csr_array"]

SWEEPS = 100_000  # of the Sinkhorn iteration
BALANCED = 1e-13  # how far from 1 it may leave a sum
ROUNDING = 1e-15  # what may be left of a weight of 0


def metropolis(graph: nx.Graph | csr_array) -> csr_array:
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
    adjacency = _undirected("metropolis", graph)
    degrees = np.diff(adjacency.indptr)
    rows = np.repeat(np.arange(len(degrees)), degrees)
    adjacency.data = 1.0 / (1 + np.maximum(degrees[rows], degrees[adjacency.indices]))
    return _filled_up(adjacency)


def max_degree(graph: nx.Graph | csr_array) -> csr_array:
    """The same weight on all edges, from the largest degree: symmetric and doubly stochastic.

        w_ij = 1 / (1 + max_k d_k) on edges,    w_ii = 1 - d_i / (1 + max_k d_k)

    Source: L. Xiao, S. Boyd, "Fast linear iterations for distributed averaging", Systems & Control Letters 53, 2004,
    section 4.1.

    Args:
        graph: undirected.

    Raises:
        ValueError: the graph is directed.
    """
    adjacency = _undirected("max_degree", graph)
    adjacency.data = np.full(adjacency.nnz, 1.0 / (1 + np.diff(adjacency.indptr).max()))
    return _filled_up(adjacency)


def best_constant(graph: nx.Graph | csr_array) -> csr_array:
    """The one weight on all edges with which averaging is fastest; weights w_ii may be negative.

        W = I - alpha L,    alpha = 2 / (lambda_2(L) + lambda_n(L))

    L is the graph's Laplacian with eigenvalues 0 < lambda_2 <= ... <= lambda_n.

    Source: L. Xiao, S. Boyd, "Fast linear iterations for distributed averaging", Systems & Control Letters 53, 2004,
    equation (22).

    Args:
        graph: undirected and connected.

    Raises:
        ValueError: the graph is directed or not connected.
    """
    from scipy.sparse.csgraph import connected_components, laplacian

    from topologies.spectra.eigenvalues import extreme_eigenvalues

    adjacency = _undirected("best_constant", graph)
    if connected_components(adjacency, return_labels=False) > 1:
        raise ValueError("best_constant weights need a connected graph, got one with several components")
    if adjacency.nnz:
        adjacency.data = np.full(adjacency.nnz, 2 / sum(extreme_eigenvalues(laplacian(adjacency).tocsr())))
    return _cleared(_filled_up(adjacency))


def fdla(graph: nx.Graph | csr_array) -> csr_array:
    """Fastest distributed linear averaging: the symmetric W on the edges with the smallest ||W - J||_2.

    Weights may be negative. See `topologies.weights.optimal.fastest_averaging`.

    Args:
        graph: undirected.

    Raises:
        ValueError: the graph is directed.
    """
    adjacency = _undirected("fdla", graph)
    return _cleared(_filled_up(fastest_averaging(adjacency)))


def fmmc(graph: nx.Graph | csr_array) -> csr_array:
    """Fastest mixing Markov chain: the symmetric W >= 0 on the edges with the smallest ||W - J||_2.

    See `topologies.weights.optimal.fastest_markov_chain`.

    Args:
        graph: undirected.

    Raises:
        ValueError: the graph is directed.
    """
    adjacency = _undirected("fmmc", graph)
    return _cleared(_filled_up(fastest_markov_chain(adjacency)))


def sinkhorn(graph: nx.Graph | csr_array) -> csr_array:
    """Rows and columns of the adjacency matrix with ones on its diagonal, scaled in turns until all of them sum to 1.

        W = D1 (A + I) D2,    D1 and D2 diagonal and positive

    Doubly stochastic, on directed graphs too, and symmetric on undirected ones. Exists wherever the graph is strongly
    connected: every edge is then on a cycle, so that A + I has total support.

    Source: R. Sinkhorn, P. Knopp, "Concerning nonnegative matrices and doubly stochastic matrices", Pacific Journal
    of Mathematics 21(2), 1967.

    Args:
        graph: directed or undirected.

    Raises:
        ValueError: the sums are not 1 after 100,000 sweeps: the graph is not strongly connected, or too long.
    """
    from scipy.sparse import csr_array, diags_array, eye_array

    support = csr_array(in_adjacency(graph) + eye_array(_size(graph)))
    transposed = support.T.tocsr()
    rows = np.ones(support.shape[0])
    for _ in range(SWEEPS):
        columns = 1 / (transposed @ rows)
        sums = rows * (support @ columns)
        if np.abs(sums - 1).max() < BALANCED:
            break
        rows = rows / sums
    else:
        raise ValueError(
            f"sinkhorn weights are not there after {SWEEPS} sweeps; the graph needs to be strongly connected "
            "and not too long; weights='metropolis' always exist on undirected ones"
        )
    if is_directed(support):
        return csr_array(diags_array(rows) @ support @ diags_array(columns))
    scale = np.sqrt(rows * columns)
    rounded = csr_array(diags_array(scale) @ support @ diags_array(scale))
    return csr_array((rounded + rounded.T) / 2)


def edge_weights(graph: nx.Graph | csr_array) -> csr_array:
    """The weights that the edges bring along, as their attribute `weight`; what is left to 1 stays with the node.

        w_ij = weight of the edge (j, i),    w_ii = 1 - sum_j w_ij

    Args:
        graph: directed or undirected; of a matrix, the entries are the weights.

    Raises:
        ValueError: an edge has no weight.
    """
    from scipy.sparse import issparse

    if issparse(graph):
        return _filled_up(graph)
    for i, j, weight in graph.edges.data("weight"):
        if weight is None:
            raise ValueError(f"edge_weights needs the attribute 'weight' on every edge, and edge ({i}, {j}) has none")
    return _filled_up(in_adjacency(graph, "weight"))


def uniform(graph: nx.Graph | csr_array) -> csr_array:
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


def push(graph: nx.Graph | csr_array) -> csr_array:
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


def lazy(rule: WeightRule) -> WeightRule:
    """The rule whose matrix is (I + W) / 2, W that of the rule given: no eigenvalue of a symmetric one is below 0.

    Args:
        rule: makes W.
    """

    def half(graph: nx.Graph | csr_array) -> csr_array:
        from scipy.sparse import csr_array, eye_array

        matrix = rule(graph)
        return csr_array((matrix + eye_array(matrix.shape[0])) / 2)

    return half


WEIGHTS: dict[str, WeightRule] = {
    "metropolis": metropolis,
    "uniform": uniform,
    "push": push,
    "max_degree": max_degree,
    "best_constant": best_constant,
    "fdla": fdla,
    "fmmc": fmmc,
    "sinkhorn": sinkhorn,
    "edge_weights": edge_weights,
}
LAZY = "lazy_"  # before the name of a rule
FILES = (".npy", ".npz", ".mtx")


def find(name: str) -> WeightRule:
    """The weight rule of this name: one of `WEIGHTS`, "lazy_" and one of them, or a file that holds the matrix.

    Raises:
        ValueError: there is none, or the file is not there.
    """
    if name.endswith(FILES):
        matrix = read_matrix(name)
        return lambda graph: matrix
    known = WEIGHTS | {LAZY + each: lazy(rule) for each, rule in WEIGHTS.items()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"unknown weights {name!r}, {hint}allowed are {', '.join(WEIGHTS)}, {LAZY} before any of these, "
            f"a file *.npy, *.npz or *.mtx, or a function"
        )
    return known[name]


def read_matrix(path: str | Path) -> csr_array:
    """The square matrix in a NumPy, scipy or Matrix Market file.

    Args:
        path: ends in .npy, .npz or .mtx.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    from topologies.graphs.formats.matrices import read_mtx, read_npy, read_npz
    from topologies.graphs.formats.source import open_source

    readers = dict(zip(FILES, (read_npy, read_npz, read_mtx), strict=True))
    try:
        return readers[Path(path).suffix](open_source(path)).csr
    except (OSError, ValueError, BadZipFile) as error:
        raise ValueError(f"cannot take a matrix from {path}: {' '.join(str(error).split())}") from error


def in_adjacency(graph: nx.Graph | csr_array, weight: str | None = None) -> csr_array:
    """(n, n) matrix where row i marks the in-neighbours of node i; no diagonal.

    Args:
        graph: a networkx graph, its nodes taken in the order of `graph.nodes`, or such a matrix, made anew of ones.
        weight: the edge attribute to take; ones by default.
    """
    import networkx as nx
    from scipy.sparse import csr_array, issparse

    if issparse(graph):
        return csr_array((np.ones(graph.nnz), graph.indices, graph.indptr), shape=graph.shape)
    adjacency = nx.to_scipy_sparse_array(graph, weight=weight, dtype=np.float64, format="coo").T
    off = adjacency.row != adjacency.col
    entries = (adjacency.data[off], (adjacency.row[off], adjacency.col[off]))
    return csr_array(entries, shape=adjacency.shape)


def _undirected(rule: str, graph: Any) -> csr_array:
    """A fresh adjacency matrix of ones, of an undirected graph."""
    from scipy.sparse import issparse

    adjacency = in_adjacency(graph)
    if is_directed(graph) if issparse(graph) else graph.is_directed():
        raise ValueError(
            f"{rule} weights need an undirected graph, got a directed one: use weights='uniform', "
            "or graph.to_undirected() if every edge may run both ways"
        )
    return adjacency


def _filled_up(off_diagonal: csr_array) -> csr_array:
    """With the diagonal that makes the rows sum to 1."""
    from scipy.sparse import csr_array, diags_array

    return csr_array(off_diagonal + diags_array(1 - off_diagonal.sum(axis=1)))


def _cleared(weights: csr_array) -> csr_array:
    """Without what rounding has left of a weight of 0, which may have either sign."""
    weights.data[np.abs(weights.data) < ROUNDING] = 0
    return weights


def _size(graph: Any) -> int:
    return int(graph.shape[0]) if hasattr(graph, "shape") else len(graph)
