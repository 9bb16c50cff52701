"""Which rank hosts which nodes, so that few messages cross from host to host.

Imports heavier than numpy are made where a placement is searched for: ranks that are told theirs need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from topologies.schedule import Schedule

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Placement = Literal["contiguous", "auto", "metis", "spectral"]

ROUNDS = 64  # of a schedule that are looked at
DENSE = 500  # nodes up to which eigenvectors are exact
ITERATIONS = 100  # of the search for one among more nodes


def blocks(n: int, ranks: int) -> list[range]:
    """The nodes of each rank: contiguous blocks whose sizes differ by at most one.

    Raises:
        ValueError: there are more ranks than nodes.
    """
    if ranks > n:
        raise ValueError(
            f"{ranks} ranks for {n} nodes: every rank needs a node, so use at most {n} ranks or more nodes"
        )
    return [range(r * n // ranks, (r + 1) * n // ranks) for r in range(ranks)]


def place(topology: Schedule, hosts: np.ndarray, method: Placement = "auto") -> list[Sequence[int]]:
    """The nodes of each rank, ascending; as many for each as in contiguous blocks.

    First the nodes are divided among the hosts, so that few edges cross from one to another, then those of each host
    among its ranks. What is computed does not depend on it.

    Args:
        topology: who talks to whom; of a schedule, the first 64 rounds count.
        hosts: (ranks,) the host of each rank, as a number.
        method: "contiguous" blocks of node numbers; "spectral", recursive bisection along the Fiedler vector (Pothen,
            Simon and Liou, 1990); "metis", multilevel partitioning (Karypis and Kumar, 1998), which needs pymetis;
            or "auto", metis if it is installed and spectral otherwise, unless contiguous blocks are as good.

    Raises:
        ValueError: there are more ranks than nodes, or "metis" is asked for and pymetis is not installed.
    """
    parts = blocks(topology.n, len(hosts))
    if method == "contiguous":
        return list(parts)
    divide = _spectral if method == "spectral" or (method == "auto" and not _has_metis()) else _metis
    messages = _messages(topology)
    symmetric = messages + messages.T
    searched: list[Sequence[int]] = [()] * len(parts)
    ranks_of = [np.flatnonzero(hosts == host) for host in np.unique(hosts)]
    sizes = [[len(parts[rank]) for rank in ranks] for ranks in ranks_of]
    on_hosts = divide(symmetric, np.arange(topology.n), [sum(each) for each in sizes])
    for ranks, nodes, those in zip(ranks_of, on_hosts, sizes, strict=True):
        for rank, some in zip(ranks, divide(symmetric, nodes, those), strict=True):
            searched[rank] = np.sort(some).tolist()
    if method == "auto" and _crossing(messages, hosts, parts) <= _crossing(messages, hosts, searched):
        return list(parts)
    return searched


def crossing(topology: Schedule, hosts: np.ndarray, hosted: Sequence[Sequence[int]]) -> float:
    """Messages of one round that go from one host to another, on average over the rounds (the first 64).

    Args:
        topology: who talks to whom.
        hosts: (ranks,) the host of each rank.
        hosted: the nodes of each rank.
    """
    return _crossing(_messages(topology), hosts, hosted)


def _crossing(messages: csr_array, hosts: np.ndarray, hosted: Sequence[Sequence[int]]) -> float:
    host_of = np.empty(messages.shape[0], np.int64)
    for host, nodes in zip(hosts, hosted, strict=True):
        host_of[nodes] = host
    sent = messages.tocoo()
    return float(sent.data[host_of[sent.row] != host_of[sent.col]].sum())


def _messages(topology: Schedule) -> csr_array:
    """(n, n): messages of one round from node j to node i, on average over the rounds."""
    from scipy.sparse import csr_array

    rounds = list(islice((topology[t] for t in range(topology.period or ROUNDS)), ROUNDS))
    total = csr_array((topology.n, topology.n))
    for each in rounds:
        indptr, indices, weights = each.arrays
        listeners = np.repeat(np.arange(topology.n), np.diff(indptr))
        heard = (weights != 0) & (listeners != indices)
        total = total + csr_array(
            (np.full(heard.sum(), 1 / len(rounds)), (listeners[heard], indices[heard])), total.shape
        )
    return total


def _spectral(messages: csr_array, nodes: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """These nodes in parts of these sizes: halves of the parts along the Fiedler vector, again and again."""
    if len(sizes) == 1:
        return [nodes]
    half = len(sizes) // 2
    order = np.argsort(_fiedler(messages[nodes][:, nodes]), kind="stable")
    first, second = np.split(nodes[order], [sum(sizes[:half])])
    return _spectral(messages, first, sizes[:half]) + _spectral(messages, second, sizes[half:])


def _fiedler(messages: csr_array) -> np.ndarray:
    """(n,): an eigenvector of the Laplacian's second smallest eigenvalue; of many nodes, roughly."""
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import lobpcg

    n = messages.shape[0]
    if n <= DENSE:
        vector: np.ndarray = np.linalg.eigh(laplacian(messages.toarray()))[1][:, min(1, n - 1)]
        return vector
    start = np.random.default_rng(0).normal(size=(n, 1))
    ones = np.ones((n, 1))
    _, vectors = lobpcg(laplacian(messages), start, Y=ones, largest=False, maxiter=ITERATIONS)
    return vectors[:, 0]


def _metis(messages: csr_array, nodes: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """These nodes in parts of these sizes by METIS, whose parts are made exact by moving what costs least."""
    if len(sizes) == 1:
        return [nodes]
    try:
        import pymetis
    except ImportError:
        raise ValueError("placement metis needs pymetis: pip install pymetis, or take placement spectral") from None
    inner = messages[nodes][:, nodes]
    weights = np.maximum(1, np.rint(inner.data * 1000 / max(inner.data, default=1))).astype(int)
    _, chosen = pymetis.part_graph(
        len(sizes),
        pymetis.CSRAdjacency(inner.indptr.tolist(), inner.indices.tolist()),
        eweights=weights.tolist(),
        tpwgts=[size / len(nodes) for size in sizes],
    )
    part = np.asarray(chosen)
    surplus = np.bincount(part, minlength=len(sizes)) - sizes
    while surplus.any():
        candidates = np.flatnonzero(surplus[part] > 0)
        links = np.stack([inner[candidates] @ (part == p).astype(float) for p in range(len(sizes))], axis=1)
        gains = links - links[np.arange(len(candidates)), part[candidates]][:, None]
        gains[:, surplus >= 0] = -np.inf
        moved, target = np.unravel_index(np.argmax(gains), gains.shape)
        node = candidates[moved]
        surplus[part[node]] -= 1
        surplus[target] += 1
        part[node] = target
    return [nodes[part == p] for p in range(len(sizes))]


def _has_metis() -> bool:
    from importlib.util import find_spec

    return find_spec("pymetis") is not None
