"""Trees: connected graphs of n - 1 edges, and two binary trees over the same nodes."""

from __future__ import annotations

import numpy as np

from topologies.graphs.arguments import count
from topologies.topology import Topology

__all__ = ["balanced_tree", "binary_tree", "double_binary_tree", "elastic_averaging", "star"]


def star(n: int, weights: str = "metropolis") -> Topology:
    """Star: node 0 is the hub and is linked to all others. The Metropolis spectral gap is 1/n.

    Args:
        n: number of nodes, the hub included.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.star_graph(count("star", n) - 1), weights, name="star")


def elastic_averaging(n: int, alpha: float | None = None) -> Topology:
    """The matrix W_alpha of elastic averaging: the last node is the anchor, linked to the m = n - 1 others.

    A node gives itself the weight 1 - alpha and the anchor alpha; the anchor gives itself 1 - m alpha, which may be
    negative. The eigenvalues are 1, 1 - alpha (m - 1 times) and 1 - (m + 1) alpha: Wang & Joshi, arXiv 1808.07576.

    Args:
        n: number of nodes, the anchor included, at least 2.
        alpha: in (0, 2/n); the best, 2/(n + 1), by default.

    Raises:
        ValueError: n is not a whole number above 1, or alpha is out of range.
    """
    if count("elastic_averaging", n) < 2:
        raise ValueError(f"elastic_averaging needs a node beside the anchor, so n of at least 2, got {n}")
    alpha = 2 / (n + 1) if alpha is None else alpha
    if not 0 < alpha < 2 / n:
        raise ValueError(f"elastic_averaging needs alpha in (0, 2/n = {2 / n:.4g}), got {alpha!r}")
    W = np.diag(np.full(n, 1 - alpha))
    W[:-1, -1] = W[-1, :-1] = alpha
    W[-1, -1] = 1 - (n - 1) * alpha
    return Topology(W, name="elastic_averaging")


def binary_tree(n: int, weights: str = "metropolis") -> Topology:
    """Binary tree whose levels are full but for the last: node i has the children 2 i + 1 and 2 i + 2.

    The Metropolis spectral gap is of order 1 / n: all that the halves tell each other passes the root.

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

    Node 0 is the root, and the levels follow from top to bottom. The Metropolis spectral gap is of order 1 / n.

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
