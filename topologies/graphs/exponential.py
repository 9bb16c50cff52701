"""Exponential graphs: the neighbours are powers of two away."""

from __future__ import annotations

from topologies.graphs.arguments import count
from topologies.matrices import average_of_shifts
from topologies.topology import Topology

__all__ = ["exponential", "symmetric_exponential"]


def symmetric_exponential(n: int, weights: str = "metropolis") -> Topology:
    """Static exponential graph without directions: node i is linked to i + 2^k and i - 2^k modulo n for all k.

    k runs from 0 to ceil(log2 n) - 1. Where n is a power of two, a node has 2 log2 n - 1 neighbours.

    Args:
        n: number of nodes.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n is not a positive whole number, or the weight rule is unknown.
    """
    import networkx as nx

    hops = [2**k for k in range(ceil_log2(count("symmetric_exponential", n)))]
    return Topology(nx.circulant_graph(n, hops), weights, name="symmetric_exponential")


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
    hops = [2**k for k in range(ceil_log2(count("exponential", n)))]
    return Topology.from_matrix(average_of_shifts(n, [0, *hops]), name="exponential")


def ceil_log2(n: int) -> int:
    """ceil(log2 n): how many powers of two are below n."""
    return (n - 1).bit_length()
