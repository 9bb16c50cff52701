"""Time-varying topologies that repeat: a different, sparser graph in every round of a period."""

from __future__ import annotations

import numpy as np

from topologies.graphs import count, exponents, shifts
from topologies.random_schedules import base_graph_named, half_and_half
from topologies.structured import host_blocks, host_graph
from topologies.topology import Schedule, Topology


def one_peer_exponential(n: int) -> Schedule:
    """One-peer exponential graph: in round t node i sends to the one peer i + 2^t and averages half and half.

        w_ii = w_ij = 1/2 with j = i - 2^(t mod ceil(log2 n)) modulo n

    One message per node and round. After ceil(log2 n) rounds all nodes hold the exact average if and only if
    n is a power of two.

    Source: B. Ying, K. Yuan, Y. Chen, H. Hu, P. Pan, W. Yin, "Exponential graph is provably efficient for
    decentralized deep training", NeurIPS 2021, arXiv 2110.13363.

    Args:
        n: number of nodes.

    Raises:
        ValueError: n is not a positive whole number.
    """
    count("one_peer_exponential", n)
    hops = [[0, 2**k] for k in range(exponents(n))] or [[0]]  # a single node keeps what it has
    rounds = [Topology.from_matrix(shifts(n, pair), connected=False) for pair in hops]
    return Schedule(rounds, name="one_peer_exponential")


def one_peer_hypercube(n: int) -> Schedule:
    """One-peer hypercube: in round t the nodes whose numbers differ in the binary digit t mod log2 n average.

    One message per node and round, symmetric matrices, and the exact average after log2 n rounds.

    Args:
        n: number of nodes, a power of two.

    Raises:
        ValueError: n is not a power of two.
    """
    dimension = count("one_peer_hypercube", n).bit_length() - 1
    if n != 2**dimension:
        raise ValueError(
            f"one_peer_hypercube needs a power of two, got n = {n}; nearest are {2**dimension} and "
            f"{2 ** (dimension + 1)}"
        )
    nodes = np.arange(n)
    rounds = [half_and_half(nodes ^ 2**k) for k in range(dimension)] or [half_and_half(nodes)]
    return Schedule([Topology.from_matrix(W, connected=False) for W in rounds], name="one_peer_hypercube")


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
    between = host_graph("alternating_hierarchical", graph)(len(blocks)).graph
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
    return Schedule([base_graph_named("round_robin", graph)(n) for graph in graphs], name="round_robin")
