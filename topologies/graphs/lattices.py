"""Families of fixed communication graphs, each by its number of nodes.

n is always what was asked for: a family that does not exist at some n says so and names the nearest n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from topologies.topology import Topology

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def ring(n: int, weights: str = "metropolis") -> Topology:
    """Cycle: node i is linked to i - 1 and i + 1 modulo n.

    With Metropolis weights (1/3 each) the eigenvalues are 1/3 + 2/3 cos(2 pi k / n) for n >= 3.

    Args:
        n: number of nodes; 1 and 2 give a single node and a single edge.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    nodes = np.arange(count("ring", n))
    return Topology.from_edges(n, nodes, (nodes + 1) % n, weights, name="ring")


def one_way_ring(n: int) -> Topology:
    """Directed cycle: node i sends to i + 1 modulo n; half and half. Doubly stochastic.

    The eigenvalues are 1/2 + 1/2 exp(2 pi i k / n), so that the spectral gap is 1 - cos(pi / n).

    Args:
        n: number of nodes.

    Raises:
        ValueError: n is not a positive whole number.
    """
    return Topology.from_matrix(shifts(n, [0, 1] if count("one_way_ring", n) > 1 else [0]), name="one_way_ring")


def circulant(n: int, offsets: tuple[int, ...] = (1, 2), weights: str = "metropolis") -> Topology:
    """Circulant graph: node i is linked to i + offset and i - offset modulo n for every offset.

    Args:
        n: number of nodes.
        offsets: of the neighbours, modulo n.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or all offsets share a divisor with n.
    """
    import networkx as nx

    count("circulant", n)
    return Topology(nx.circulant_graph(n, list(offsets)), weights, name="circulant")


def symmetric_exponential(n: int, weights: str = "metropolis") -> Topology:
    """Static exponential graph without directions: node i is linked to i + 2^k and i - 2^k modulo n for all k.

    Args:
        n: number of nodes.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    hops = [2**k for k in range(exponents(count("symmetric_exponential", n)))]
    return Topology(nx.circulant_graph(n, hops), weights, name="symmetric_exponential")


def complete(n: int, weights: str = "metropolis") -> Topology:
    """Complete graph: every node is linked to every other; W is the exact average, spectral gap 1.

    Args:
        n: number of nodes. Work and memory grow with n^2.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    return Topology(nx.complete_graph(count("complete", n)), weights, name="complete")


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


def torus(n: int, rows: int | None = None, weights: str = "metropolis") -> Topology:
    """Two-dimensional periodic grid: each node is linked to its four neighbours, around the borders too.

    Node r * columns + c stands at row r and column c, and has the label (r, c). A dimension of 2 makes one
    edge between the two nodes, not a double one. Up to three nodes it is the ring.

    Args:
        n: number of nodes, rows x columns with both at least 2 (so above 3 not a prime).
        rows: number of rows, a divisor of n; by default the one nearest to the square root of n from below.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number or has no such rows, or the weight rule is unknown.
    """
    rows = _rows("torus", n, rows)
    columns = n // rows
    nodes = np.arange(n)
    r, c = np.divmod(nodes, columns)
    right, below = r * columns + (c + 1) % columns, (r + 1) % rows * columns + c
    topology = Topology.from_edges(n, np.tile(nodes, 2), np.append(right, below), weights, name="torus")
    topology.labels = tuple(zip(r.tolist(), c.tolist(), strict=True))
    return topology


def grid(n: int, rows: int | None = None, weights: str = "metropolis") -> Topology:
    """Two-dimensional grid: each node is linked to those above, below, left and right of it, as far as they exist.

    Node r * columns + c stands at row r and column c, and has the label (r, c). Up to three nodes it is the path.

    Args:
        n: number of nodes, rows x columns with both at least 2 (so above 3 not a prime).
        rows: number of rows, a divisor of n; by default the one nearest to the square root of n from below.
        weights: weight rule; `topologies.weights.rules.find` knows them.

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
        weights: weight rule; `topologies.weights.rules.find` knows them.

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
        weights: weight rule; `topologies.weights.rules.find` knows them.

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


def generalized_hypercube(n: int, base: int = 3, weights: str = "metropolis") -> Topology:
    """Generalized (b-ary) hypercube, or Hamming graph: nodes whose numbers differ in one digit are linked.

    With base 2 it is the hypercube. The degree is (b - 1) log_b n and the Metropolis gap b / (1 + (b - 1) log_b n).

    Source: L. Bhuyan, D. Agrawal, "Generalized hypercube and hyperbus structures for a computer network", IEEE
    Transactions on Computers C-33(4), 1984.

    Args:
        n: number of nodes, a power of the base.
        base: of the digits, at least 2.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a power of the base, or the weight rule is unknown.
    """
    count("generalized_hypercube", n)
    count("generalized_hypercube", base, "base", 2)
    dimension = 0
    while base ** (dimension + 1) <= n:
        dimension += 1
    if n != base**dimension:
        raise ValueError(
            f"generalized_hypercube needs a power of its base {base}, got n = {n}; nearest are {base**dimension} and "
            f"{base ** (dimension + 1)}"
        )
    nodes = np.arange(n)
    changed = [
        nodes - digit * base**k + (digit + step) % base * base**k
        for k in range(dimension)
        for digit in [nodes // base**k % base]
        for step in range(1, base)
    ]
    return Topology.from_edges(
        n, np.tile(nodes, len(changed)), np.concatenate([*changed, np.empty(0, int)]), weights,
        name="generalized_hypercube",
    )  # fmt: skip


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
    return Topology.from_matrix(shifts(n, [0, *hops]), name="exponential")


def count(family: str, value: Any, what: str = "n", least: int = 1) -> int:
    """`value` if it is a whole number of at least `least`, else a ValueError naming the parameter."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{family} needs {what} to be a whole number of at least {least}, got {value!r}")
    return int(value)


def exponents(n: int) -> int:
    """ceil(log2 n): how many powers of two are below n."""
    return (n - 1).bit_length()


def shifts(n: int, hops: Sequence[int]) -> csr_array:
    """(n, n) matrix in which node i gives equal weights to i - hop modulo n for every hop."""
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
