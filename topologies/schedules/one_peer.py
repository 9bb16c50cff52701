"""Time-varying topologies that repeat: a different, sparser graph in every round of a period."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from topologies.graphs.cliques import host_blocks, host_graph
from topologies.graphs.lattices import count, exponents, shifts
from topologies.schedules.random import base_graph_named, half_and_half
from topologies.topology import Schedule, Topology


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
    rounds = [Topology.from_matrix(shifts(n, pair), connected=False) for pair in hops]
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


def one_peer_hypercube(n: int) -> Schedule:
    """One-peer hypercube: in round t the nodes whose numbers differ in the binary digit t mod log2 n average.

    One message per node and round, symmetric matrices, and the exact average after log2 n rounds.

    Args:
        n: number of nodes, a power of two.

    Raises:
        ValueError: n is not a power of two.
    """
    dimension = count("one_peer_hypercube", n).bit_length() - 1
    if n != 2**dimension:
        raise ValueError(
            f"one_peer_hypercube needs a power of two, got n = {n}; nearest are {2**dimension} and "
            f"{2 ** (dimension + 1)}"
        )
    nodes = np.arange(n)
    rounds = [half_and_half(nodes ^ 2**k) for k in range(dimension)] or [half_and_half(nodes)]
    return Schedule([Topology.from_matrix(W, connected=False) for W in rounds], name="one_peer_hypercube")


def alternating_hierarchical(n: int, hosts: int | None = None, graph: str = "ring") -> Schedule:
    """Inside of hosts and between hosts by turns: the nodes of a host average, then those of the same place on hosts.

    In even rounds each host takes the exact average over its nodes; in odd rounds the nodes of the same place on
    their hosts are linked by a graph of hosts with Metropolis weights.

    Args:
        n: number of nodes; hosts have blocks of numbers whose sizes differ by at most one.
        hosts: how many, at most n; by default the square root of n, rounded down.
        graph: of the hosts: ring, path, complete or star.

    Raises:
        ValueError: a parameter is out of range, or there is no such graph.
    """
    import networkx as nx

    _, blocks = host_blocks("alternating_hierarchical", n, hosts)
    between = host_graph("alternating_hierarchical", graph)(len(blocks)).graph
    inside, across = nx.empty_graph(n), nx.empty_graph(n)
    for block in blocks:
        inside.add_edges_from((i, j) for i in block for j in block if i < j)
    for a, b in between.edges:
        across.add_edges_from(zip(blocks[a], blocks[b], strict=False))
    rounds = [Topology(each, connected=False) for each in (inside, across)]
    return Schedule(rounds, name="alternating_hierarchical")


def round_robin(n: int, graphs: tuple[str, ...] = ("ring", "star")) -> Schedule:
    """Some graphs by turns, with Metropolis weights; `Schedule([...])` takes any others.

    Args:
        n: number of nodes.
        graphs: names: complete, ring, path, star, torus, grid, hypercube, erdos_renyi or random_regular.

    Raises:
        ValueError: there is no such graph, or it does not exist at n.
    """
    count("round_robin", n)
    return Schedule([base_graph_named("round_robin", graph)(n) for graph in graphs], name="round_robin")
