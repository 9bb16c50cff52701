"""Topologies with servers beside them: further nodes that no link of the graph reaches."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from topologies.matrices import Arrays, read_only
from topologies.schedule import Schedule
from topologies.topology import Topology

KEPT = 64  # rounds whose topologies with servers are kept


class WithServers(Schedule):
    """The nodes of a schedule, linked as they are, and after them servers, which give all weight to themselves.

    Args:
        clients: the schedule without servers.
        servers: how many there are, at least one.
    """

    def __init__(self, clients: Schedule, servers: int) -> None:
        self.clients, self.servers = clients, servers
        self.n = clients.n + servers
        self.name = clients.name
        self.symmetric = clients.symmetric
        self.row_stochastic, self.column_stochastic = clients.row_stochastic, clients.column_stochastic

    def __getitem__(self, t: int) -> Topology:
        return _extended(self.clients[t], self.servers)

    @property
    def period(self) -> int | None:
        return self.clients.period


def with_servers(topology: Schedule, servers: int) -> Schedule:
    """The topology with so many servers after its nodes; itself if there are none."""
    if not servers:
        return topology
    return _extended(topology, servers) if isinstance(topology, Topology) else WithServers(topology, servers)


def with_hubs(topology: Topology, hubs: int, servers: int = 0) -> Topology:
    """The links of an asynchronous method: those of the topology, or between hubs and all others, and no more.

    Args:
        topology: Its nodes are those with data.
        hubs: How many of all nodes, the last ones, are linked to all others; 0 for the topology as it is.
        servers: How many nodes come after those of the topology; they are hubs.
    """
    if not hubs:
        return topology
    import networkx

    n = topology.n + servers
    return Topology(networkx.complete_bipartite_graph(n - hubs, hubs), name=topology.name)


@lru_cache(maxsize=KEPT)
def _extended(topology: Topology, servers: int) -> Topology:
    indptr, indices, data = topology.arrays
    extended = Topology.__new__(Topology)
    extended.n, extended.name, extended.labels = topology.n + servers, topology.name, None
    further = np.arange(servers)
    extended.arrays = read_only(
        Arrays(
            np.concatenate([indptr, indptr[-1] + 1 + further]),
            np.concatenate([indices, topology.n + further]),
            np.concatenate([data, np.ones(servers)]),
        )
    )
    extended.symmetric = topology.symmetric
    extended.row_stochastic, extended.column_stochastic = topology.row_stochastic, topology.column_stochastic
    return extended
