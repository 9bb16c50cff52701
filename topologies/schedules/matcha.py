"""MATCHA: the matchings of a base graph, each active in a round with a probability of its own.

Source: J. Wang, A. Sahu, Z. Yang, G. Joshi, S. Kar, "MATCHA: speeding up decentralized SGD via matching decomposition
sampling", ICC 2019, arXiv 1905.09435.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from topologies.graphs.arguments import count
from topologies.schedules.bases import base_graph_by_name, edges_of, undirected_base
from topologies.schedules.random import RandomSchedule
from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

__all__ = ["Matcha", "matcha"]

SMOOTHNESS = 1e-3  # of the smallest eigenvalue, in place of which a smooth bound is maximized


class Matcha(RandomSchedule):
    """In each round some matchings of a base graph, drawn independently; they are taken together. Without end.

        W = I - alpha sum_j B_j L_j,    B_j = 1 with probability p_j

    L_j is the Laplacian of matching j of M. The probabilities maximize the algebraic connectivity of the expected
    graph, lambda_2(sum_j p_j L_j), at sum_j p_j <= budget M; the step alpha then minimizes

        rho = ||I - 2 alpha Lbar + alpha^2 (Lbar^2 + 2 Ltilde) - J||,    Lbar = sum_j p_j L_j,
                                                                         Ltilde = sum_j p_j (1 - p_j) L_j

    by which E|x - average|^2 shrinks per round. cvxpy finds the probabilities where it is installed; otherwise a smooth
    bound of lambda_2 is maximized, to about 1e-3 of it.

    Args:
        topology: the base graph, undirected: a `Topology` or a networkx graph.
        budget: in (0, 1], the share of the base graph's matchings that is active on average.
        seed: decides all draws.

    Attributes:
        matchings: the edges of each, (edges, 2) arrays; at most max degree + 1 of them, by Misra and Gries (1992).
        probabilities: (M,).
        alpha: the step.
        rho: as above.

    Raises:
        ValueError: the base graph varies with time or is directed, or the budget or the seed is out of range.
    """

    purpose = "matcha"

    def __init__(self, topology: Topology | nx.Graph, budget: float = 0.5, seed: int = 0) -> None:
        self.base = undirected_base("MATCHA", topology)
        super().__init__(self.base.n, seed, "matcha")
        if not 0 < budget <= 1:
            raise ValueError(f"matcha needs a budget in (0, 1], got {budget!r}")
        self.budget = budget
        self.matchings = matchings(self.base)
        self._laplacians = [_laplacian(self.n, each) for each in self.matchings]
        self.probabilities = _probabilities(self._laplacians, budget)
        self.alpha, self.rho = _step(self.n, self._laplacians, self.probabilities)

    def draw(self, random: np.random.Generator) -> Any:
        """The matrix of one round."""
        from scipy.sparse import csr_array, eye_array

        active = random.random(len(self.matchings)) < self.probabilities
        W = csr_array(eye_array(self.n))
        for laplacian, on in zip(self._laplacians, active, strict=True):
            if on:
                W = W - self.alpha * laplacian
        return W

    def second_moment(self) -> Any:
        """E[W^T W], exactly."""
        return _second_moment(self.n, self._laplacians, self.probabilities, self.alpha)

    def support(self) -> csr_array:
        """The base graph's W, (n, n): its edges are all that can be there."""
        return self.base.matrix


def matcha(n: int, graph: str = "random_regular", budget: float = 0.5, seed: int = 0) -> Matcha:
    """MATCHA: in each round some random matchings of a base graph, the important ones more often; see `Matcha`.

    Args:
        n: number of nodes.
        graph: name of the base graph: complete, ring, path, star, torus, grid, hypercube, erdos_renyi or
            random_regular, with its default options.
        budget: in (0, 1], the share of the base graph's matchings that is active on average.
        seed: decides all draws.

    Raises:
        ValueError: n, budget or seed is out of range, or there is no such base graph.
    """
    count("matcha", n)
    return Matcha(base_graph_by_name("matcha", graph)(n), budget, seed)


def matchings(topology: Topology) -> list[np.ndarray]:
    """The edges of an undirected topology in at most max degree + 1 matchings: (edges, 2) each.

    They are the colours of a proper edge colouring, in which edges that share a node differ in colour.

    Source: J. Misra, D. Gries, "A constructive proof of Vizing's theorem", Information Processing Letters 41(3), 1992.
    """
    coloring = _EdgeColoring(topology)
    for u, v in edges_of(topology).tolist():
        coloring.add(u, v)
    ordered = sorted(coloring.colored.items())
    groups = [[edge for edge, color in ordered if color == each] for each in coloring.colors]
    return [np.array(group, dtype=np.int64) for group in groups if group]


class _EdgeColoring:
    """A proper colouring of some edges of a topology with max degree + 1 colours, which takes in one edge more."""

    def __init__(self, topology: Topology) -> None:
        self.colors = range(int(topology.in_degrees.max(initial=0)) + 1)
        self.colored: dict[tuple[int, int], int] = {}
        self._across: list[dict[int, int]] = [{} for _ in range(topology.n)]  # node i: colour -> whom it leads to
        self._neighbors = [topology.neighbors(i).tolist() for i in range(topology.n)]

    def add(self, u: int, v: int) -> None:
        """Colour the edge {u, v} as well, which may change the colours of others."""
        fan = self._fan(u, v)
        c, d = self._free(u), self._free(fan[-1])
        self._invert_path(u, c, d)
        # The fan up to the first end at which d is free and which is still a fan.
        end = 0
        while d in self._across[fan[end]]:
            end += 1
        kept = [self._color_of(u, w) for w in fan[: end + 1]]
        for w in fan[: end + 1]:
            self._paint(u, w, None)
        for w, shifted in zip(fan, [*kept[1:], d], strict=False):
            self._paint(u, w, shifted)

    def _fan(self, u: int, v: int) -> list[int]:
        """Neighbours of u from v on; each next edge has a colour that is free at the end of the one before."""
        fan = [v]
        while True:
            taken = (None, *self._across[fan[-1]])
            more = [w for w in self._neighbors[u] if w not in fan and self._color_of(u, w) not in taken]
            if not more:
                return fan
            fan.append(more[0])

    def _invert_path(self, u: int, c: int, d: int) -> None:
        """Swap the colours of the path from u in the colours d, c, d, ..., which frees d at u."""
        chain, node, color = [], u, d
        while color in self._across[node]:
            chain.append((node, self._across[node][color], color))
            node, color = self._across[node][color], c if color == d else d
        for i, j, _ in chain:
            self._paint(i, j, None)
        for i, j, before in chain:
            self._paint(i, j, c if before == d else d)

    def _color_of(self, i: int, j: int) -> int | None:
        return self.colored.get((min(i, j), max(i, j)))

    def _free(self, i: int) -> int:
        """The first colour that no edge of node i has."""
        return next(color for color in self.colors if color not in self._across[i])

    def _paint(self, i: int, j: int, color: int | None) -> None:
        """Give the edge {i, j} this colour, or none."""
        before = self._color_of(i, j)
        if before is not None:
            for a, b in ((i, j), (j, i)):
                if self._across[a].get(before) == b:
                    del self._across[a][before]
            del self.colored[min(i, j), max(i, j)]
        if color is not None:
            self.colored[min(i, j), max(i, j)] = color
            self._across[i][color], self._across[j][color] = j, i


def _laplacian(n: int, edges: np.ndarray) -> csr_array:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import laplacian

    adjacency = csr_array((np.ones(2 * len(edges)), (edges.T.ravel(), edges[:, ::-1].T.ravel())), shape=(n, n))
    return csr_array(laplacian(adjacency))


def _probabilities(laplacians: list[csr_array], budget: float) -> np.ndarray:
    number = len(laplacians)
    if budget == 1 or number == 0:
        return np.ones(number)
    dense = np.stack([each.toarray() for each in laplacians])
    n = dense.shape[1]
    total = budget * number
    if find_spec("cvxpy") is not None:
        import cvxpy

        p, connectivity = cvxpy.Variable(number), cvxpy.Variable()
        expected = sum(p[j] * dense[j] for j in range(number))
        constraints = [expected >> connectivity * (np.eye(n) - 1 / n), p >= 0, p <= 1, cvxpy.sum(p) <= total]
        cvxpy.Problem(cvxpy.Maximize(connectivity), constraints).solve()
        return _within(np.asarray(p.value), total)
    from scipy.optimize import minimize

    def lost(p: np.ndarray) -> tuple[float, np.ndarray]:
        values, vectors = np.linalg.eigh(np.tensordot(p, dense, 1))
        values, vectors = values[1:], vectors[:, 1:]
        shares = np.exp((values[0] - values) / SMOOTHNESS)
        smooth = values[0] - SMOOTHNESS * np.log(shares.sum())
        shares /= shares.sum()
        return -smooth, -np.einsum("jab,ak,bk,k->j", dense, vectors, vectors, shares, optimize=True)

    limit = {"type": "ineq", "fun": lambda p: total - p.sum(), "jac": lambda p: -np.ones(number)}
    start = np.full(number, budget)
    result = minimize(lost, start, jac=True, bounds=[(0, 1)] * number, constraints=[limit], method="SLSQP")
    return _within(result.x, total)


def _within(p: np.ndarray, total: float) -> np.ndarray:
    """What a solver gives, without what it exceeds the limits by."""
    p = np.clip(p, 0, 1)
    within: np.ndarray = p * min(1.0, total / p.sum())
    return within


def _second_moment(n: int, laplacians: list[csr_array], p: np.ndarray, alpha: float) -> np.ndarray:
    mean = sum((q * each.toarray() for q, each in zip(p, laplacians, strict=True)), start=np.zeros((n, n)))
    spread = sum((q * (1 - q) * each.toarray() for q, each in zip(p, laplacians, strict=True)), start=np.zeros((n, n)))
    moment: np.ndarray = np.eye(n) - 2 * alpha * mean + alpha**2 * (mean @ mean + 2 * spread)
    return moment


def _step(n: int, laplacians: list[csr_array], p: np.ndarray) -> tuple[float, float]:
    from scipy.optimize import minimize_scalar

    def rho(alpha: float) -> float:
        return float(np.linalg.norm(_second_moment(n, laplacians, p, alpha) - 1 / n, 2))

    found = minimize_scalar(rho, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    return float(found.x), float(found.fun)
