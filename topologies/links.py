"""How long messages take: the alpha-beta model of links, in which b bytes arrive latency + b / bandwidth later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Seconds = NDArray[np.float64]
TOPOLOGIES = 64  # whose edges are kept; random schedules may have no end


class Edges(Protocol):
    """Who sends to whom, such as a `Topology`: known by its object."""

    @property
    def n(self) -> int:
        """The number of nodes."""

    @property
    def arrays(self) -> Any:
        """(indptr, indices, weights) of an (n, n) matrix in compressed rows: row i has those that node i hears."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Links:
    """Each node has one port, of the same bandwidth in both directions at once, and all pairs are equally far apart.

    Messages that a node sends at the same time share its port evenly, and so do those that it receives: one of b
    bytes from a node that sends to p others to a node that hears q others takes

        latency + max(p, q) b / bandwidth

    An all-reduce of b bytes over n nodes, by recursive halving and doubling (Thakur, Rabenseifner, Gropp 2005), takes

        2 ceil(log2 n) latency + 2 (n - 1) / n b / bandwidth

    and an all-gather by recursive doubling after which all have b bytes, those of all nodes together,

        ceil(log2 n) latency + (n - 1) / n b / bandwidth

    Args:
        latency: Seconds until a message of no length arrives, >= 0.
        bandwidth: Bytes per second, > 0; may be infinite.
    """

    latency: float
    bandwidth: float

    def __post_init__(self) -> None:
        for name, valid, allowed in (
            ("latency", 0 <= self.latency < math.inf, ">= 0"),
            ("bandwidth", self.bandwidth > 0, "> 0"),
        ):
            if not valid:
                value = getattr(self, name)
                raise ValueError(f"{type(self).__name__}: {name} = {value!r} is not allowed; it must be {allowed}")

    def exchange(self, topology: Edges, row_bytes: ArrayLike, starts: ArrayLike = 0.0) -> Seconds:
        """(n,): when each node has what its in-neighbours send to it in one round; 0 for one that hears nobody.

        Args:
            topology: Who sends to whom.
            row_bytes: What a node sends to each of its out-neighbours, the same for all nodes or (n,).
            starts: When it begins to, the same for all or (n,).
        """
        edges = _edges(topology)
        size, start = (np.broadcast_to(np.asarray(each, float), topology.n) for each in (row_bytes, starts))
        there = np.zeros(topology.n)
        travels = self.latency + edges.sharing * size[edges.senders] / self.bandwidth
        np.maximum.at(there, edges.listeners, start[edges.senders] + travels)
        return there

    def sending(self, topology: Edges, row_bytes: ArrayLike) -> Seconds:
        """(n,): how long each node's port is busy with what the node sends in one round; see `exchange`."""
        return np.asarray(row_bytes) * _edges(topology).out_degree / self.bandwidth

    def all_reduce(self, n: int, row_bytes: float) -> float:
        """How long a sum of vectors of n nodes takes, from when the last node begins until all have it."""
        return 2 * math.ceil(math.log2(n)) * self.latency + self.reducing(n, row_bytes)

    def reducing(self, n: int, row_bytes: float) -> float:
        """How long each node's port is busy with it."""
        return 2 * (n - 1) / n * row_bytes / self.bandwidth

    def all_gather(self, n: int, all_bytes: float) -> float:
        """How long n nodes take, from when the last one begins, until all have these bytes that they had together."""
        return math.ceil(math.log2(n)) * self.latency + self.gathering(n, all_bytes)

    def gathering(self, n: int, all_bytes: float) -> float:
        """How long each node's port is busy with it."""
        return (n - 1) / n * all_bytes / self.bandwidth


class _Edges(NamedTuple):
    senders: NDArray[np.int64]  # (edges,)
    listeners: NDArray[np.int64]  # (edges,)
    sharing: NDArray[np.int64]  # (edges,) how many messages share the busier port of the two
    out_degree: NDArray[np.int64]  # (n,)


@lru_cache(maxsize=TOPOLOGIES)
def _edges(topology: Edges) -> _Edges:
    indptr, senders, _ = topology.arrays
    listeners = np.repeat(np.arange(topology.n), np.diff(indptr))
    others = senders != listeners
    senders, listeners = senders[others], listeners[others]
    out_degree, in_degree = (np.bincount(ends, minlength=topology.n) for ends in (senders, listeners))
    return _Edges(senders, listeners, np.maximum(out_degree[senders], in_degree[listeners]), out_degree)
