"""Time-varying topologies: a different, sparser graph in every round."""

from __future__ import annotations

from topologies.graphs import circulant, count, exponents
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
    rounds = [Topology.from_matrix(circulant(n, pair), connected=False) for pair in hops]
    return Schedule(rounds, name="one_peer_exponential")
