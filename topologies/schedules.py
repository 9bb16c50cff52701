"""Time-varying topologies: a different, sparser graph in every round."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topologies.graphs import (
    circulant,
    complete,
    count,
    erdos_renyi,
    exponents,
    grid,
    hypercube,
    path,
    random_regular,
    ring,
    star,
    torus,
)
from topologies.matrices import is_directed
from topologies.topology import Schedule, Topology, valid_round

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

PURPOSE = zlib.crc32(b"randomized gossip")  # its draws are independent of others with the same seed
BASES: dict[str, Callable[[int], Topology]] = {
    "complete": complete,
    "ring": ring,
    "path": path,
    "star": star,
    "torus": torus,
    "grid": grid,
    "hypercube": hypercube,
    "erdos_renyi": erdos_renyi,
    "random_regular": random_regular,
}


def one_peer_exponential(n: int) -> Schedule:
    """One-peer exponential graph: in round t node i sends to the one peer i + 2^t and averages half and half.

        w_ii = w_ij = 1/2 with j = i - 2^(t mod ceil(log2 n)) modulo n

    One message per node and round. After ceil(log2 n) rounds all nodes hold the exact average if and only if
    n is a power of two.

    Source: B. Ying, K. Yuan, Y. Chen, H. Hu, P. Pan, W. Yin, "Exponential graph is provably efficient for
    decentralized deep training", NeurIPS 2021, arXiv 2110.13363.

    Args:
        n: number of nodes.

    Raises:
        ValueError: n is not a positive whole number.
    """
    count("one_peer_exponential", n)
    hops = [[0, 2**k] for k in range(exponents(n))] or [[0]]  # a single node keeps what it has
    rounds = [Topology.from_matrix(circulant(n, pair), connected=False) for pair in hops]
    return Schedule(rounds, name="one_peer_exponential")


def elastic_averaging_tree(
    n: int, groups: int | None = None, alpha: float | None = None, root_alpha: float | None = None, root_every: int = 2
) -> Schedule:
    """Elastic averaging on a tree of two levels: each group of leaves has an anchor, and the anchors have a root.

    The first n - groups - 1 nodes are the leaves, in groups of neighbouring numbers whose sizes differ by at most 1;
    then come the anchors of the groups, and the root is last. Nodes a and b at the ends of an edge pull each other by
    moving averages, x_a <- x_a + alpha (x_b - x_a) and likewise x_b, all at the same time: in the last of every
    `root_every` rounds along the edges at the root, with root_alpha, in the others along those of the leaves.

    A round is W = I - alpha L, with L the Laplacian of stars: with m leaves one has the eigenvalues 1, 1 - alpha
    (m - 1 times) and 1 - (m + 1) alpha, which all are above -1 for alpha < 2 / (m + 1); 2 / (m + 2) contracts fastest.

    Source: EASGD Tree of S. Zhang, "Distributed stochastic optimization for deep learning", PhD thesis, New York
    University 2016, arXiv 1605.02216, where nodes do this asynchronously. Its two periods of communication are those
    of the two levels.

    Args:
        n: number of nodes, anchors and root included, at least 3.
        groups: number of groups, at least 1 and at most the number of leaves, (n - 1) / 2; by default the one nearest
            to the square root of n - 1 from below, but for that limit.
        alpha: between leaves and their anchors, in (0, 2 / (m + 1)) with m the leaves of the largest group;
            2 / (m + 2) by default.
        root_alpha: between anchors and root, in (0, 2 / (groups + 1)); 2 / (groups + 2) by default.
        root_every: rounds from one use of the edges at the root to the next, at least 2.

    Raises:
        ValueError: a number is out of range.
    """
    name = "elastic_averaging_tree"
    if count(name, n) < 3:
        raise ValueError(f"{name} needs a leaf, an anchor and a root, so n of at least 3, got {n}")
    groups = min(math.isqrt(n - 1), (n - 1) // 2) if groups is None else count(name, groups, "groups")
    leaves = n - groups - 1
    if groups > leaves:
        raise ValueError(f"{name} needs groups to be at most (n - 1) / 2 = {(n - 1) // 2}, got {groups}")
    count(name, root_every, "root_every", 2)
    parts = np.array_split(np.arange(leaves), groups)
    of_leaves = _elastic(n, name, "alpha", alpha, dict(zip(range(leaves, n - 1), parts, strict=True)))
    of_root = _elastic(n, name, "root_alpha", root_alpha, {n - 1: np.arange(leaves, n - 1)})
    return Schedule([of_leaves] * (root_every - 1) + [of_root], name=name)


def _elastic(n: int, name: str, option: str, alpha: float | None, stars: dict[int, NDArray[np.int64]]) -> Topology:
    """W = I - alpha L, with L the Laplacian of stars: hub -> the nodes around it."""
    most = max(len(around) for around in stars.values())
    alpha = 2 / (most + 2) if alpha is None else alpha
    if not 0 < alpha < 2 / (most + 1):
        raise ValueError(f"{name} needs {option} in (0, {2 / (most + 1):.4g}), got {alpha!r}")
    W = np.eye(n)
    for hub, around in stars.items():
        W[around, around] = 1 - alpha
        W[around, hub] = W[hub, around] = alpha
        W[hub, hub] = 1 - len(around) * alpha
    return Topology.from_matrix(W, name=name, connected=False)


class RandomizedGossip(Schedule):
    """In each round one random node wakes and averages half and half with one random neighbour; without end.

    In round t = 0, 1, 2, ... node i is uniform over all nodes and j over the neighbours of i, and

        w_ii = w_ij = w_ji = w_jj = 1/2,    w_kk = 1 for all other k

    Two messages a round, on the one pair. A round follows from the seed and t alone, and no round is kept.
    Every W is a projection, so that E|x - average|^2 shrinks by lambda_2(E[W]) per round or faster.

    Source: S. Boyd, A. Ghosh, B. Prabhakar, D. Shah, "Randomized gossip algorithms", IEEE Trans. Information
    Theory 52(6), 2006, with equal probabilities of all neighbours.

    Args:
        topology: the base graph, whose edges are the possible pairs, as an undirected `Topology` (whose weights
            do not matter) or a networkx graph.
        seed: decides all draws.
        name: what reports call the schedule.

    Raises:
        ValueError: the base graph varies with time or is directed, or the seed is not a whole number >= 0.
    """

    def __init__(self, topology: Topology | nx.Graph, seed: int = 0, name: str = "randomized_gossip") -> None:
        base = topology if isinstance(topology, Schedule) else Topology(topology)
        if not isinstance(base, Topology) or is_directed(base.matrix):
            raise ValueError(f"randomized gossip needs a base graph that is undirected and static, got {base}")
        self.base = base
        self.seed = count("randomized_gossip", seed, "seed", 0)
        self.n = base.n
        self.name = name
        self.symmetric = self.row_stochastic = self.column_stochastic = True

    def __getitem__(self, t: int) -> Topology:
        """The topology of round t = 0, 1, 2, ...

        Raises:
            IndexError: t is negative.
        """
        random = np.random.default_rng([PURPOSE, self.seed, valid_round(t)])
        i = int(random.integers(self.n))
        indptr, indices, _ = self.base.arrays
        others = indices[indptr[i] : indptr[i + 1]]
        others = others[others != i]
        j = int(random.choice(others)) if len(others) else i
        return Topology.pair(self.n, i, j, self.name)

    @property
    def period(self) -> None:
        """None: it never repeats."""
        return None

    @property
    def mean(self) -> Topology:
        """E[W], the expected mixing matrix: (1/n) (1/d_i + 1/d_j) / 2 on each edge, d the numbers of neighbours."""
        from scipy.sparse import coo_array, diags_array

        entries = coo_array(self.base.matrix)
        i, j = (each[entries.row != entries.col] for each in (entries.row, entries.col))
        picks = 1 / (2 * self.n * np.maximum(self.base.in_degrees, 1))
        pairs = coo_array((picks[i] + picks[j], (i, j)), shape=entries.shape)
        return Topology.from_matrix(pairs + diags_array(1 - pairs.sum(axis=1)), name=self.name)

    def _support(self) -> csr_array:
        return self.base.matrix

    def __repr__(self) -> str:
        return f"RandomizedGossip({self.base!r}, seed={self.seed})"


def randomized_gossip(n: int, graph: str = "complete", seed: int = 0) -> RandomizedGossip:
    """Randomized gossip: in each round one random node averages half and half with one random neighbour.

    See `RandomizedGossip`, which takes any base graph. On the complete graph E|x - average|^2 shrinks by
    1 - 1 / (n - 1) per round.

    Args:
        n: number of nodes.
        graph: name of the base graph: complete, ring, path, star, torus, grid, hypercube, erdos_renyi or
            random_regular, with its default options.
        seed: decides all draws.

    Raises:
        ValueError: n is not a positive whole number, or there is no such base graph.
    """
    count("randomized_gossip", n)
    if graph not in BASES:
        raise ValueError(f"randomized_gossip knows no base graph {graph!r}, allowed are {', '.join(BASES)}")
    return RandomizedGossip(BASES[graph](n), seed)
