"""Families of fixed communication graphs, each by its number of nodes.

n is always what was asked for: a family that does not exist at some n says so and names the nearest n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

DRAWS = 1000  # of a random graph, until one is connected


def ring(n: int, weights: str = "metropolis") -> Topology:
    """Cycle: node i is linked to i - 1 and i + 1 modulo n.

    With Metropolis weights (1/3 each) the eigenvalues are 1/3 + 2/3 cos(2 pi k / n) for n >= 3.

    Args:
        n: number of nodes; 1 and 2 give a single node and a single edge.
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.cycle_graph(count("ring", n)), weights, name="ring")


def complete(n: int, weights: str = "metropolis") -> Topology:
    """Complete graph: every node is linked to every other; W is the exact average, spectral gap 1.

    Args:
        n: number of nodes. Work and memory grow with n^2.
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.complete_graph(count("complete", n)), weights, name="complete")


def star(n: int, weights: str = "metropolis") -> Topology:
    """Star: node 0 is the hub and is linked to all others. The Metropolis spectral gap is 1/n.

    Args:
        n: number of nodes, the hub included.
        weights: weight rule, "metropolis", "uniform" or "push".

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


def torus(n: int, rows: int | None = None, weights: str = "metropolis") -> Topology:
    """Two-dimensional periodic grid: each node is linked to its four neighbours, around the borders too.

    Node r * columns + c stands at row r and column c, and has the label (r, c). A dimension of 2 makes one
    edge between the two nodes, not a double one. Up to three nodes it is the ring.

    Args:
        n: number of nodes, rows x columns with both at least 2 (so above 3 not a prime).
        rows: number of rows, a divisor of n; by default the one nearest to the square root of n from below.
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n is not a positive whole number or has no such rows, or the weight rule is unknown.
    """
    import networkx as nx

    rows = _rows("torus", n, rows)
    return Topology(nx.grid_2d_graph(rows, n // rows, periodic=True), weights, name="torus")


def grid(n: int, rows: int | None = None, weights: str = "metropolis") -> Topology:
    """Two-dimensional grid: each node is linked to those above, below, left and right of it, as far as they exist.

    Node r * columns + c stands at row r and column c, and has the label (r, c). Up to three nodes it is the path.

    Args:
        n: number of nodes, rows x columns with both at least 2 (so above 3 not a prime).
        rows: number of rows, a divisor of n; by default the one nearest to the square root of n from below.
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n is not a positive whole number or has no such rows, or the weight rule is unknown.
    """
    import networkx as nx

    rows = _rows("grid", n, rows)
    return Topology(nx.grid_2d_graph(rows, n // rows), weights, name="grid")


def path(n: int, weights: str = "metropolis") -> Topology:
    """Path (line, chain): node i is linked to i - 1 and i + 1 where they exist. A tree.

    With Metropolis weights the eigenvalues are 1/3 + 2/3 cos(pi k / n) for n >= 3.

    Args:
        n: number of nodes.
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.path_graph(count("path", n)), weights, name="path")


def hypercube(n: int, weights: str = "metropolis") -> Topology:
    """Hypercube: nodes whose numbers differ in one binary digit are linked.

    The spectral gap is 2 / (1 + log2 n). A node has its binary digits as label.

    Args:
        n: number of nodes, a power of two.
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n is not a power of two, or the weight rule is unknown.
    """
    import networkx as nx

    dimension = count("hypercube", n).bit_length() - 1
    if n != 2**dimension:
        raise ValueError(
            f"hypercube needs a power of two, got n = {n}; nearest are {2**dimension} and {2 ** (dimension + 1)}"
        )
    graph = nx.hypercube_graph(dimension) if dimension else nx.empty_graph(1)
    return Topology(graph, weights, name="hypercube")


def exponential(n: int) -> Topology:
    """Static exponential graph: node i sends to i + 1, i + 2, i + 4, ... modulo n, all weights equal.

    Directed, with ceil(log2 n) in- and out-neighbours, doubly stochastic since circulant. The spectral gap is
    2 / (1 + ceil(log2 n)) for even n and larger for odd n.

    Source: B. Ying, K. Yuan, Y. Chen, H. Hu, P. Pan, W. Yin, "Exponential graph is provably efficient for
    decentralized deep training", NeurIPS 2021, arXiv 2110.13363.

    Args:
        n: number of nodes.

    Raises:
        ValueError: n is not a positive whole number.
    """
    hops = [2**k for k in range(exponents(count("exponential", n)))]
    return Topology.from_matrix(circulant(n, [0, *hops]), name="exponential")


def erdos_renyi(n: int, probability: float = 0.3, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Erdos-Renyi random graph: every pair is linked with the same probability, drawn again until connected.

    Args:
        n: number of nodes.
        probability: of each edge, between 0 and 1; well above ln(n) / n nearly every draw is connected.
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n, probability or seed is out of range, no draw of 1000 was connected, or the weight rule
            is unknown.
    """
    import networkx as nx

    count("erdos_renyi", n)
    if not 0 <= probability <= 1:
        raise ValueError(f"erdos_renyi needs a probability between 0 and 1, got {probability}")
    graph = _connected_draw(
        lambda seed: nx.fast_gnp_random_graph(n, probability, seed=seed),
        "erdos_renyi",
        seed,
        f"{n} nodes need a probability of about {math.log(n) / n:.2g} or more, got {probability}",
    )
    return Topology(graph, weights, name="erdos_renyi")


def random_regular(n: int, degree: int = 4, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Random regular graph: every node has the same number of neighbours; drawn again until connected.

    An expander with high probability: the spectral gap stays away from 0 as n grows.

    Args:
        n: number of nodes; n * degree must be even.
        degree: number of neighbours of every node, from 2 to n - 1 (0 for one node, 1 for two).
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule, "metropolis", "uniform" or "push".

    Raises:
        ValueError: n, degree or seed is out of range, no draw of 1000 was connected, or the weight rule is
            unknown.
    """
    import networkx as nx

    smallest = min(2, count("random_regular", n) - 1)
    count("random_regular", degree, "degree", smallest)
    if degree >= n or n * degree % 2:
        raise ValueError(
            f"random_regular needs a degree from {smallest} to n - 1 with n * degree even, got n = {n} and "
            f"degree = {degree}"
        )

    def draw(seed: int) -> nx.Graph:
        graph = nx.empty_graph(n)  # the generator alone would number the nodes in the order of its edges
        graph.add_edges_from(nx.random_regular_graph(degree, n, seed=seed).edges)
        return graph

    graph = _connected_draw(draw, "random_regular", seed, f"raise the degree above {degree}")
    return Topology(graph, weights, name="random_regular")


def random_out(n: int, degree: int = 2, seed: int = 0, weights: str = "push") -> Topology:
    """Random directed graph: every node sends to the same number of others, drawn again until strongly connected.

    How many nodes one hears from differs, so that with "push" weights the columns of W sum to 1 and the rows do
    not: for push-sum methods. With "uniform" weights it is the other way round.

    Args:
        n: number of nodes.
        degree: how many others each node sends to, from 1 to n - 1 (0 for one node).
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule, "push" or "uniform".

    Raises:
        ValueError: n, degree or seed is out of range, no draw of 1000 was strongly connected, or the weight rule
            is unknown.
    """
    import networkx as nx

    smallest = min(1, count("random_out", n) - 1)
    count("random_out", degree, "degree", smallest)
    if degree >= n:
        raise ValueError(f"random_out needs a degree from {smallest} to n - 1, got n = {n} and degree = {degree}")

    def draw(seed: int) -> nx.DiGraph:
        random = np.random.default_rng(seed)
        graph = nx.empty_graph(n, create_using=nx.DiGraph)
        for i in range(n):
            others = random.choice(n - 1, size=degree, replace=False)
            graph.add_edges_from((i, int(j + (j >= i))) for j in others)
        return graph

    graph = _connected_draw(draw, "random_out", seed, f"raise the degree above {degree}")
    return Topology(graph, weights, name="random_out")


def count(family: str, value: Any, what: str = "n", least: int = 1) -> int:
    """`value` if it is a whole number of at least `least`, else a ValueError naming the parameter."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{family} needs {what} to be a whole number of at least {least}, got {value!r}")
    return int(value)


def exponents(n: int) -> int:
    """ceil(log2 n): how many powers of two are below n."""
    return (n - 1).bit_length()


def circulant(n: int, hops: list[int]) -> csr_array:
    """(n, n) matrix in which node i gives equal weights to i - hop modulo n for every hop (all distinct)."""
    from scipy.sparse import csr_array

    rows = np.repeat(np.arange(n), len(hops))
    columns = (np.arange(n)[:, None] - np.array(hops)).ravel() % n
    return csr_array((np.full(rows.size, 1 / len(hops)), (rows, columns)), shape=(n, n))


def _rows(family: str, n: int, rows: int | None) -> int:
    """The rows of a two-dimensional arrangement of n nodes."""
    count(family, n)
    smallest = 1 if n <= 3 else 2
    if rows is None:
        rows = max(divisor for divisor in range(1, math.isqrt(n) + 1) if n % divisor == 0)
        if rows < smallest:  # n - 1 and n + 1 are even and at least 4
            raise ValueError(
                f"{family} needs n = rows x columns with both at least 2; {n} is prime; nearest are {n - 1} and {n + 1}"
            )
    count(family, rows, "rows")
    if n % rows or not smallest <= rows <= n // smallest:
        rows_at_least_2 = max(rows, 2)
        multiples = sorted({max(n // rows_at_least_2 + k, 2) * rows_at_least_2 for k in (0, n % rows_at_least_2 > 0)})
        nearest = f"nearest n for {rows_at_least_2} rows: {' and '.join(map(str, multiples))}"
        raise ValueError(
            f"{family} needs n = rows x columns with both at least 2; got n = {n} and rows = {rows}; {nearest}"
        )
    return rows


def _connected_draw(draw: Callable[[int], nx.Graph], family: str, seed: int, fix: str) -> nx.Graph:
    import networkx as nx

    count(family, seed, "seed", 0)
    for each in range(seed, seed + DRAWS):
        graph = draw(each)
        if nx.is_strongly_connected(graph) if graph.is_directed() else nx.is_connected(graph):
            return graph
    raise ValueError(f"{family} found no connected graph in {DRAWS} draws from seed {seed}: {fix}")
