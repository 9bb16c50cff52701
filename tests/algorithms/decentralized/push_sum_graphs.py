"""Column stochastic matrices, fixed and varying, and push-sum on them with full matrices."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np

from tests.algorithms.helpers import ALL, Array
from topologies import RandomizedGossip, Schedule, Topology, random_out, ring


def arcs(*edges: tuple[int, int], n: int) -> Topology:
    """One round in which these nodes push to each other, connected or not."""
    graph = nx.empty_graph(n, create_using=nx.DiGraph)
    graph.add_edges_from(edges)
    return Topology(graph, "push", connected=False)


COLUMNS: dict[str, Schedule] = {
    "random_out-16": random_out(16),
    "random_out-9": random_out(9, degree=3, seed=4),
    "lopsided-4": Topology.from_matrix([[0.2, 0.7, 0, 0], [0, 0.3, 0.1, 0], [0.5, 0, 0.9, 0.6], [0.3, 0, 0, 0.4]]),
    "varying-5": Schedule([arcs((0, 1), (0, 2), (3, 4), n=5), arcs((1, 3), (2, 0), n=5), arcs((4, 0), (4, 2), n=5)]),
    "varying-9": Schedule([random_out(9, degree=2, seed=seed) for seed in (1, 5, 9)]),
}
DOUBLY: dict[str, Schedule] = {name: ALL[name] for name in ("ring-13", "exponential-16", "one_peer_exponential-13")} | {
    "randomized-6": RandomizedGossip(ring(6), seed=2)
}
GRAPHS = COLUMNS | DOUBLY


def full(topology: Schedule) -> Callable[[int], Array]:
    """P_t as a full matrix."""
    return lambda t: topology[t].matrix.toarray()


def products(topology: Schedule, rounds: int) -> list[Array]:
    """I, P_0, P_1 P_0, ..."""
    made = [np.eye(topology.n)]
    for t in range(rounds):
        made.append(full(topology)(t) @ made[-1])
    return made
