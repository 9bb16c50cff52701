"""Base-(k+1) graphs: sequences of rounds with at most k neighbours each that average exactly, for every n.

Source: Y. Takezawa, R. Sato, H. Bao, K. Niwa, M. Yamada, "Beyond exponential graph: communication-efficient topologies
for decentralized learning via finite-time convergence", NeurIPS 2023, arXiv 2305.11420.

The building block is the k-peer hyper-hypercube of n = p_1 ... p_L nodes, all p <= k + 1: in round l the nodes whose
mixed-radix numbers differ in digit l only average, each 1 / p_l. It exists if n has no prime factor above k + 1.

Simple Base-(k+1) for other n: write n = a_1 (k+1)^p_1 + ... + a_L (k+1)^p_L with p_1 > p_2 > ... and 0 < a_l <= k, and
let V_l be the l-th part of the nodes, made of a_l pieces of (k+1)^p_l nodes.

    1. Each part averages by its own hyper-hypercube.
    2. For l = 1, ..., L - 1 each node of the later parts exchanges with one node of each piece of V_l, with weight
       |V_l| / (a_l (|V_l| + ... + |V_L|)), so that it holds the average of V_l and all later parts in place of its own,
       and the sum over each piece becomes that of the global average. (Nodes of V_l that are left average in groups.)
    3. From then on each piece of V_l averages by its hyper-hypercube.

Base-(k+1): n = m q where m has all prime factors up to k + 1; Simple Base-(k+1) in m groups of q nodes, then the
hyper-hypercube across the groups; or Simple Base-(k+1) of all n, if that is shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from topologies.graphs.arguments import count
from topologies.schedule import Schedule
from topologies.topology import Topology

__all__ = ["base_graph", "simple_base_graph"]

Round = dict[tuple[int, int], float]  # the weight of each edge


def base_graph(n: int, degree: int = 1) -> Schedule:
    """Base-(k+1) graph: at most k neighbours in a round, and the exact average after a period, for every n.

    Symmetric and doubly stochastic. A period has at most about 2 log_{k+1}(n) + 2 rounds.

    Args:
        n: number of nodes.
        degree: k, how many neighbours a node may have in a round, at least 1.

    Raises:
        ValueError: n or degree is not a positive whole number.
    """
    nodes, k = range(count("base_graph", n)), count("base_graph", degree, "degree")
    return _schedule("base_graph", n, base_rounds(nodes, k))


def simple_base_graph(n: int, degree: int = 1) -> Schedule:
    """Simple Base-(k+1) graph: at most k neighbours in a round, and the exact average after a period, for every n.

    Args:
        n: number of nodes.
        degree: k, how many neighbours a node may have in a round, at least 1.

    Raises:
        ValueError: n or degree is not a positive whole number.
    """
    nodes, k = range(count("simple_base_graph", n)), count("simple_base_graph", degree, "degree")
    return _schedule("simple_base_graph", n, simple_base_rounds(nodes, k))


def _schedule(name: str, n: int, rounds: Sequence[Round]) -> Schedule:
    from scipy.sparse import csr_array, diags_array

    topologies = []
    for each in rounds or [{}]:  # a single node keeps what it has
        ends = np.array(list(each), dtype=np.int64).reshape(-1, 2).T
        both = np.append(ends[0], ends[1]), np.append(ends[1], ends[0])
        off = csr_array((np.tile(np.array(list(each.values())), 2), both), shape=(n, n))
        W = off + diags_array(1 - off.sum(axis=1))
        topologies.append(Topology.from_matrix(W, name=name, connected=False))
    return Schedule(topologies, name=name)


def base_rounds(nodes: Sequence[int], k: int) -> list[Round]:
    """The rounds of the Base-(k+1) graph between these nodes."""
    n, group = len(nodes), len(nodes)  # the group's size loses all prime factors up to k + 1
    for prime in range(2, k + 2):
        while group % prime == 0:
            group //= prime
    groups = [nodes[first : first + group] for first in range(0, n, group)]
    inside = _together([simple_base_rounds(each, k) for each in groups])
    across = _together([_hyper([each[i] for each in groups], k) for i in range(group)])
    simple = simple_base_rounds(nodes, k)
    return simple if len(simple) < len(inside) + len(across) else inside + across


def simple_base_rounds(nodes: Sequence[int], k: int) -> list[Round]:
    """The rounds of the Simple Base-(k+1) graph between these nodes."""
    n = len(nodes)
    if _factors(n, k) is not None:
        return _hyper(nodes, k)
    pieces: list[list[Sequence[int]]] = []  # of each part
    done = 0
    power = 1
    while power * (k + 1) <= n:
        power *= k + 1
    while done < n:
        number = (n - done) // power
        if number:
            pieces.append([nodes[done + i * power : done + (i + 1) * power] for i in range(number)])
            done += number * power
        power //= k + 1
    parts = [[node for piece in part for node in piece] for part in pieces]
    L = len(parts)

    first = [_hyper(part, k) for part in parts]
    rounds = [_union(each[m % len(each)] for each in first if each) for m in range(len(first[0]))]
    last = [_together([_hyper(piece, k) for piece in part]) for part in pieces]
    for m in range(len(last[0]) + 1):
        exchanged = _exchange(pieces[m], parts[m:], k) if m < L - 1 else {}
        # The parts before m are in their last phase, since round l + 1.
        ended = (last[p][(m - p - 1) % len(last[p])] for p in range(min(m, L)) if last[p])
        rounds.append(_union([exchanged, *ended]))
    return rounds


def _exchange(pieces: list[Sequence[int]], parts: list[list[int]], k: int) -> Round:
    """Each node of the later parts with one of each piece of the first part, whose other nodes average in groups."""
    left = [list(piece) for piece in pieces]
    weight = len(parts[0]) / sum(map(len, parts)) / len(pieces)
    edges: Round = {}
    for part in parts[1:]:
        for node in part:
            for piece in left:
                edges[piece.pop(), node] = weight
    others = [node for piece in left for node in piece]
    for start in range(0, len(others), k + 1):
        edges |= _clique(others[start : start + k + 1])
    return edges


def _hyper(nodes: Sequence[int], k: int) -> list[Round]:
    """The k-peer hyper-hypercube."""
    factors = _factors(len(nodes), k)
    assert factors is not None, "no prime factor above k + 1"
    rounds, step = [], 1
    for factor in factors:
        starts = [i for i in range(len(nodes)) if i // step % factor == 0]
        rounds.append(_union(_clique([nodes[i + digit * step] for digit in range(factor)]) for i in starts))
        step *= factor
    return rounds


def _factors(n: int, k: int) -> list[int] | None:
    """Factors of n between 2 and k + 1, the largest first; None if there are none whose product is n."""
    factors = []
    for factor in range(k + 1, 1, -1):
        while n % factor == 0:
            factors.append(factor)
            n //= factor
    return factors if n == 1 else None


def _clique(nodes: Sequence[int]) -> Round:
    """All average."""
    return {(i, j): 1 / len(nodes) for place, i in enumerate(nodes) for j in nodes[:place]}


def _union(rounds: Iterable[Round]) -> Round:
    return {edge: weight for each in rounds for edge, weight in each.items()}


def _together(schedules: list[list[Round]]) -> list[Round]:
    """The same rounds of several groups at once; all have equally many."""
    return [_union(each) for each in zip(*schedules, strict=True)]
