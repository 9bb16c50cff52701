"""How robust a graph is: how many hostile neighbours its nodes can do without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ENUMERATED = 16  # nodes: for more, sets of nodes are too many


def robustness(neighbors: NDArray[np.bool_]) -> int:
    """The largest r for which an undirected graph is r-robust, by enumeration of all sets of nodes.

    A graph is r-robust if of any two disjoint sets of nodes, none of them empty, at least one has a node with r
    neighbours or more outside of its set (LeBlanc, Zhang, Koutsoukos, Sundaram, "Resilient Asymptotic Consensus in
    Robust Networks", IEEE JSAC 31(4), 2013). A ring is 1-robust, a complete graph of n nodes ceil(n / 2)-robust.

    Args:
        neighbors: (n, n), which two nodes are linked, symmetric; what is on the diagonal does not matter. n >= 2.

    Raises:
        ValueError: There are more than `ENUMERATED` nodes.
    """
    n = len(neighbors)
    if n > ENUMERATED:
        raise ValueError(f"robustness is found by enumeration, for at most {ENUMERATED} nodes; there are {n}")
    sets, place = np.arange(1 << n), np.arange(n)
    inside = (sets[:, None] >> place & 1).astype(bool)
    linked = neighbors & ~np.eye(n, dtype=bool)
    outside = (~inside).astype(np.int64) @ linked.T.astype(np.int64)  # how many neighbours of each node are not in it
    reach = np.where(inside, outside, -1).max(axis=1)
    reach[0] = n  # the empty set is none of the two
    least = reach.copy()  # over all subsets
    for bit in range(n):
        halves = least.reshape(-1, 2, 1 << bit)
        np.minimum(halves[:, 1], halves[:, 0], out=halves[:, 1])
    return int(np.maximum(reach, least[::-1])[1:-1].min())  # the complement of a set has the number 2^n - 1 - its own
