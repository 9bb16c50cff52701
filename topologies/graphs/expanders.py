"""Expanders: sparse graphs whose spectral gap stays away from 0 as they grow."""

from __future__ import annotations

import math

from topologies.graphs.arguments import count, prime
from topologies.graphs.numbering import in_ascending_order
from topologies.graphs.random import DRAWS, random_regular
from topologies.matrices import is_directed
from topologies.spectra.eigenvalues import extreme_eigenvalues
from topologies.topology import Topology

__all__ = ["chordal_cycle", "margulis_gabber_galil", "paley", "ramanujan"]


def margulis_gabber_galil(n: int, weights: str = "metropolis") -> Topology:
    """Margulis-Gabber-Galil expander on the pairs (x, y) modulo m; edges that are there twice count once.

    (x, y) is linked to (x +- 2 y, y), (x +- (2 y + 1), y), (x, y +- 2 x) and (x, y +- (2 x + 1)).
    The eight edges of a node, counted as often as they are there, have no adjacency eigenvalue above 5 sqrt(2) but 8.

    Source: O. Gabber, Z. Galil, "Explicit constructions of linear-sized superconcentrators", JCSS 22(3), 1981.

    Args:
        n: number of nodes, a square m^2.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a square, or the weight rule is unknown.
    """
    import networkx as nx

    root = math.isqrt(count("margulis_gabber_galil", n))
    if root * root != n:
        raise ValueError(
            f"margulis_gabber_galil needs a square, got n = {n}; nearest are {root**2} and {(root + 1) ** 2}"
        )
    return Topology(
        in_ascending_order(nx.Graph(nx.margulis_gabber_galil_graph(root))), weights, name="margulis_gabber_galil"
    )


def chordal_cycle(n: int, weights: str = "metropolis") -> Topology:
    """Chordal cycle graph, a 3-regular expander: a ring where x and its inverse modulo n are linked too.

    Source: A. Lubotzky, "Discrete groups, expanding graphs and invariant measures", Birkhauser 1994, theorem 4.4.2.

    Args:
        n: number of nodes, a prime.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a prime, or the weight rule is unknown.
    """
    import networkx as nx

    prime("chordal_cycle", n)
    return Topology(in_ascending_order(nx.Graph(nx.chordal_cycle_graph(n))), weights, name="chordal_cycle")


def paley(n: int) -> Topology:
    """Paley graph: j hears from i if j - i is a square modulo n; uniform weights. Undirected if n = 1 modulo 4.

    Every node hears (n - 1) / 2 others. The spectral gap is 1 - (1 + sqrt(n)) / (n + 1) if n = 1 modulo 4, and
    1 - 1 / sqrt(n + 1) of the directed graphs, where n = 3 modulo 4.

    Source: R. Paley, "On orthogonal matrices", Journal of Mathematics and Physics 12, 1933.

    Args:
        n: number of nodes, an odd prime.

    Raises:
        ValueError: n is not an odd prime.
    """
    import networkx as nx

    prime("paley", n, least=3)
    graph = nx.paley_graph(n)
    return Topology(graph.to_undirected() if n % 4 == 1 else graph, name="paley")


def ramanujan(n: int, degree: int = 4, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Ramanujan graph: a regular graph whose eigenvalues are as small as those of infinitely large ones can be.

        |lambda| <= 2 sqrt(degree - 1) for all eigenvalues of the adjacency matrix but +-degree

    Random regular graphs are drawn until one has this property, which is computed for it; about every second has.

    Source: A. Lubotzky, R. Phillips, P. Sarnak, "Ramanujan graphs", Combinatorica 8, 1988; of random ones: J. Huang,
    T. McKenzie, H.-T. Yau, "Ramanujan property and edge universality of random regular graphs", 2024, arXiv 2412.20263.

    Args:
        n: number of nodes; n * degree must be even.
        degree: number of neighbours of every node, from 2 to n - 1 (0 for one node, 1 for two).
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, degree or seed is out of range, no draw of 1000 was a Ramanujan graph, or the weight rule is
            unknown.
    """
    for what, value, least in (("n", n, 1), ("degree", degree, 0), ("seed", seed, 0)):
        count("ramanujan", value, what, least)
    for each in range(seed, seed + DRAWS):
        topology = random_regular(n, degree, each, weights)
        if is_ramanujan(topology):
            topology.name = "ramanujan"
            return topology
    raise ValueError(f"ramanujan found none in {DRAWS} draws from seed {seed}: take a smaller n or another degree")


def is_ramanujan(topology: Topology) -> bool:
    """Whether this regular undirected graph has no eigenvalue above 2 sqrt(degree - 1) beside +-degree."""
    second = second_adjacency_eigenvalue(topology)
    return second is not None and second <= 2 * math.sqrt(max(int(topology.in_degrees[0]) - 1, 0)) + 1e-9


def second_adjacency_eigenvalue(topology: Topology) -> float | None:
    """The largest modulus of an eigenvalue of the adjacency matrix but +-degree; None if the graph is not regular."""
    degree = int(topology.in_degrees[0])
    if is_directed(topology.matrix) or (topology.in_degrees != degree).any():
        return None
    if topology.n == 1:
        return 0.0
    adjacency = (topology.matrix != 0).astype(float)
    adjacency.setdiag(0)
    adjacency.eliminate_zeros()
    low, high = extreme_eigenvalues(adjacency)
    bipartite = low < (1e-9 - 1) * degree  # then the eigenvalues are symmetric about 0
    return max(high, 0.0) if bipartite else max(-low, high)
