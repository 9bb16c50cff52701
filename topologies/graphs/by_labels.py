"""Topologies made for data that differ from node to node, given how often each label is there on each node."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from topologies.graphs.arguments import count
from topologies.graphs.cliques import host_graph_by_name
from topologies.topology import Topology

__all__ = ["d_cliques", "stl_fw"]

SWAPS = 1000  # that are tried for D-Cliques


def stl_fw(n: int, degree: int = 4, weight: float = 0.1, histograms: str | np.ndarray | None = None) -> Topology:
    """STL-FW: sparse topology learning by Frank-Wolfe, such that what a node hears has the labels of everybody.

    From W = I, each step adds the permutation P that fits the gradient best (an assignment problem), with exact line
    search, to minimize

        g(W) = 1/n ||W Pi - 1 pi^T||_F^2 + weight/n ||W - 1 1^T / n||_F^2

    with Pi the (n, K) label proportions of the nodes and pi their mean. After m steps nobody has more than m
    in- or out-neighbours. Doubly stochastic, in general not symmetric.

    Source: B. Le Bars, A. Bellet, M. Tommasi, E. Lavoie, A.-M. Kermarrec, "Refined convergence and topology learning
    for decentralized SGD with heterogeneous data", AISTATS 2023, arXiv 2204.04452, algorithm 2.

    Args:
        n: number of nodes.
        degree: steps, the most in- and out-neighbours that a node may get.
        weight: lambda > 0, of mixing against the labels.
        histograms: (n, K) how often each label is there on each node, or a file *.npy with it; by default node i has
            label i modulo 10 only.

    Raises:
        ValueError: a parameter is out of range, or so few steps connect no graph.
    """
    from scipy.optimize import linear_sum_assignment

    count("stl_fw", n)
    count("stl_fw", degree, "degree")
    if not weight > 0:
        raise ValueError(f"stl_fw needs a weight above 0, got {weight!r}")
    proportions = label_proportions("stl_fw", n, histograms)
    centred = proportions - proportions.mean(axis=0)
    W = np.eye(n)
    for _ in range(degree):
        gradient = 2 / n * ((W @ centred) @ centred.T + weight * (W - 1 / n))
        rows, columns = linear_sum_assignment(gradient)
        towards = -W
        towards[rows, columns] += 1
        curvature = 2 / n * (np.sum((towards @ centred) ** 2) + weight * np.sum(towards**2))
        if curvature < 1e-15:  # W is that permutation already
            break
        W = W + np.clip(-np.sum(gradient * towards) / curvature, 0, 1) * towards
    W[np.abs(W) < 1e-12] = 0
    try:
        return Topology.from_matrix(W, name="stl_fw")
    except ValueError as error:
        raise ValueError(f"stl_fw: {degree} steps do not connect {n} nodes, raise the degree ({error})") from error


def d_cliques(
    n: int,
    size: int = 10,
    graph: str = "ring",
    histograms: str | np.ndarray | None = None,
    seed: int = 0,
    weights: str = "metropolis",
) -> Topology:
    """D-Cliques: cliques each of which has nearly the labels of everybody, linked by a graph of cliques.

    Random cliques, then swaps of two nodes of two random cliques that most lessen the skew of both, the sum over the
    labels of |proportion in the clique - proportion everywhere|, as long as 1000 tries find any. Neighbouring cliques
    have one edge, between the nodes that have the fewest so far.

    Source: A. Bellet, A.-M. Kermarrec, E. Lavoie, "D-Cliques: compensating for data heterogeneity with topology in
    decentralized federated learning", SRDS 2022, arXiv 2104.07365, algorithm 2.

    Args:
        n: number of nodes.
        size: of a clique, at least 1; the sizes differ by at most one and are not above it.
        graph: of the cliques: ring, path, complete or star.
        histograms: (n, K) how often each label is there on each node, or a file *.npy with it; by default node i has
            label i modulo 10 only.
        seed: decides the draws.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: a parameter is out of range, or there is no such graph.
    """
    import networkx as nx

    count("d_cliques", n)
    count("d_cliques", size, "size")
    between = host_graph_by_name("d_cliques", graph)
    proportions = label_proportions("d_cliques", n, histograms)
    random = np.random.default_rng(count("d_cliques", seed, "seed", 0))
    cliques = [list(part) for part in np.array_split(random.permutation(n), -(-n // size))]
    _lessen_skew(cliques, proportions, random)
    linked = nx.empty_graph(n)
    for clique in cliques:
        linked.add_edges_from(combinations(map(int, clique), 2))
    outer = dict.fromkeys(range(n), 0)
    for one, other in between(len(cliques)).graph.edges:
        ends = [min(map(int, cliques[c]), key=lambda node: (outer[node], node)) for c in (one, other)]
        linked.add_edge(*ends)
        for end in ends:
            outer[end] += 1
    return Topology(linked, weights, name="d_cliques")


def _lessen_skew(cliques: list[list[int]], proportions: np.ndarray, random: np.random.Generator) -> None:
    """Swap nodes of two cliques wherever that lessens the skew of both together, in 1000 tries."""
    overall = proportions.mean(axis=0)
    for _ in range(SWAPS if len(cliques) > 1 else 0):
        a, b = (cliques[c] for c in random.choice(len(cliques), 2, replace=False))
        change = proportions[b][None, :, :] - proportions[a][:, None, :]  # (|a|, |b|, K), of the sum in a
        skews = sum(
            np.abs(proportions[clique].mean(axis=0) - overall + sign * change / len(clique)).sum(axis=2)
            for clique, sign in ((a, 1), (b, -1))
        )
        now = sum(np.abs(proportions[clique].mean(axis=0) - overall).sum() for clique in (a, b))
        i, j = np.unravel_index(np.argmin(skews), (len(a), len(b)))
        if skews[i, j] < now - 1e-12:
            a[i], b[j] = b[j], a[i]


def label_proportions(family: str, n: int, histograms: str | np.ndarray | None) -> np.ndarray:
    """(n, K): rows that sum to 1."""
    if histograms is None:
        return np.eye(10)[np.arange(n) % 10]
    try:
        counts = np.asarray(
            np.load(histograms, allow_pickle=False) if isinstance(histograms, str) else histograms, float
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"{family} cannot take histograms from {histograms}: {error}") from error
    if counts.ndim != 2 or len(counts) != n or not (counts >= 0).all() or not (counts.sum(axis=1) > 0).all():
        raise ValueError(
            f"{family} needs histograms of shape ({n}, labels), none negative, no row empty; got shape {counts.shape}"
        )
    return counts / counts.sum(axis=1, keepdims=True)
