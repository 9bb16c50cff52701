"""Regular arrangements of nodes: rings, paths, grids and cubes, each by its number of nodes.

n is always what was asked for: a family that does not exist at some n says so and names the nearest n.
"""

from __future__ import annotations

import math

import numpy as np

from topologies.graphs.arguments import count
from topologies.matrices import average_of_shifts
from topologies.topology import Topology

__all__ = ["circulant", "generalized_hypercube", "grid", "hypercube", "ladder", "one_way_ring", "path", "ring", "torus"]


def ring(n: int, weights: str = "metropolis") -> Topology:
    """Cycle: node i is linked to i - 1 and i + 1 modulo n.

    With Metropolis weights (1/3 each) the eigenvalues are 1/3 + 2/3 cos(2 pi k / n) for n >= 3, so that the
    spectral gap is 2/3 (1 - cos(2 pi / n)), of order 1 / n^2.

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
    return Topology.from_matrix(
        average_of_shifts(n, [0, 1] if count("one_way_ring", n) > 1 else [0]), name="one_way_ring"
    )


def circulant(n: int, offsets: tuple[int, ...] = (1, 2), weights: str = "metropolis") -> Topology:
    """Circulant graph: node i is linked to i + offset and i - offset modulo n for every offset.

    With Metropolis weights the eigenvalues are (1 + 2 sum_o cos(2 pi k o / n)) / (1 + 2 m) for m offsets o, as long as
    all 2 m neighbours of a node differ.

    Args:
        n: number of nodes.
        offsets: how far, modulo n, the numbers of neighbours are apart.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or all offsets share a divisor with n.
    """
    import networkx as nx

    count("circulant", n)
    return Topology(nx.circulant_graph(n, list(offsets)), weights, name="circulant")


def torus(n: int, rows: int | None = None, weights: str = "metropolis") -> Topology:
    """Two-dimensional periodic grid: each node is linked to its four neighbours, around the borders too.

    Node r * columns + c stands at row r and column c, and has the label (r, c). A dimension of 2 makes one
    edge between the two nodes, not a double one. Up to three nodes it is the ring. With Metropolis weights and both
    dimensions at least 3 the eigenvalues are 1/5 + 2/5 cos(2 pi a / rows) + 2/5 cos(2 pi b / columns).

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

    With Metropolis weights the eigenvalues are 1/3 + 2/3 cos(pi k / n) for n >= 3, so that the spectral gap is
    2/3 (1 - cos(pi / n)), a quarter of the ring's for large n.

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

    Every node has log2 n neighbours. The Metropolis spectral gap is 2 / (1 + log2 n) for n > 2. A node has its binary
    digits as label.

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
        base: how many values a digit has, at least 2.
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


def ladder(n: int, weights: str = "metropolis") -> Topology:
    """Ladder: two paths of which opposite nodes are linked. The spectral gap is of order 1 / n^2, as of the path.

    Args:
        n: number of nodes, even.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is odd, or the weight rule is unknown.
    """
    import networkx as nx

    if count("ladder", n) % 2:
        raise ValueError(f"ladder needs an even n, got n = {n}; nearest are {n - 1 or 2} and {n + 1}")
    return Topology(nx.ladder_graph(n // 2), weights, name="ladder")
