"""Some graphs by turns, round after round."""

from __future__ import annotations

from topologies.graphs.arguments import count
from topologies.graphs.cliques import host_blocks, host_graph_by_name
from topologies.schedule import Schedule
from topologies.schedules.bases import base_graph_by_name
from topologies.topology import Topology

__all__ = ["alternating_hierarchical", "round_robin"]


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
    between = host_graph_by_name("alternating_hierarchical", graph)(len(blocks)).graph
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
    return Schedule([base_graph_by_name("round_robin", graph)(n) for graph in graphs], name="round_robin")
