"""The base graphs that schedules draw their rounds from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from topologies.graphs.cliques import complete
from topologies.graphs.lattices import grid, hypercube, path, ring, torus
from topologies.graphs.random import erdos_renyi, random_regular
from topologies.graphs.trees import star
from topologies.matrices import is_directed
from topologies.schedule import Schedule
from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx


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


def base_graph_by_name(family: str, graph: str) -> Callable[[int], Topology]:
    """The family of base graphs of this name."""
    if graph not in BASES:
        raise ValueError(f"{family} knows no base graph {graph!r}, allowed are {', '.join(BASES)}")
    return BASES[graph]


def undirected_base(what: str, topology: Topology | nx.Graph) -> Topology:
    """The static undirected base graph of a schedule, as a topology."""
    base = topology if isinstance(topology, Schedule) else Topology(topology)
    if not isinstance(base, Topology) or is_directed(base.matrix):
        raise ValueError(f"{what} needs a base graph that is undirected and static, got {base}")
    return base


def edges_of(topology: Topology) -> np.ndarray:
    """(edges, 2): the two ends of each edge of an undirected topology, the smaller first."""
    indptr, j, _ = topology.arrays
    i = np.repeat(np.arange(topology.n), np.diff(indptr))
    return np.stack([i[i < j], j[i < j]], axis=1)
