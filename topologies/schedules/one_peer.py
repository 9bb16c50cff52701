"""Time-varying topologies that repeat: a different, sparser graph in every round of a period."""

from __future__ import annotations

import numpy as np

from topologies.graphs.arguments import count
from topologies.graphs.exponential import ceil_log2
from topologies.matrices import average_of_shifts, pairwise_average
from topologies.schedule import Schedule
from topologies.topology import Topology

__all__ = ["one_peer_exponential", "one_peer_hypercube"]


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
    hops = [[0, 2**k] for k in range(ceil_log2(n))] or [[0]]  # a single node keeps what it has
    rounds = [Topology.from_matrix(average_of_shifts(n, pair), connected=False) for pair in hops]
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
    rounds = [pairwise_average(nodes ^ 2**k) for k in range(dimension)] or [pairwise_average(nodes)]
    return Schedule([Topology.from_matrix(W, connected=False) for W in rounds], name="one_peer_hypercube")
