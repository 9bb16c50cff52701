"""A server among the nodes: the edges of one round up to it and of one down from it, for those that take part.

A method with a server gives it an auxiliary node, which talks to the clients by `network.mix` or `network.neighbors`
with `over=` one of these matrices. What is sent over their edges is all that is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Compressed(NamedTuple):
    """A sparse matrix in compressed rows, as `algorithms.network.SparseMatrix`."""

    indptr: NDArray[np.int64]
    """(n + 1,): where each row begins and ends."""
    indices: NDArray[np.int64]
    """The columns, ascending in each row."""
    data: NDArray[np.float64]
    """The weights."""


@dataclass(frozen=True, eq=False)
class Star:
    """The weighted edges between a server and some clients, in one direction, or between several and theirs."""

    n: int
    """The number of nodes, those that take no part included."""
    arrays: Compressed
    """Row i holds what node i hears, with weight 1."""


def to_server(n: int, server: int, clients: Sequence[int]) -> Star:
    """The round up: the server hears these clients, each with weight 1, and nobody else hears anything.

    Args:
        n: The number of nodes.
        server: One of them.
        clients: Those that send to it, without the server.
    """
    indptr = np.zeros(n + 1, np.int64)
    indptr[server + 1 :] = len(clients)
    return Star(n, Compressed(indptr, np.sort(np.asarray(clients, np.int64)), np.ones(len(clients))))


def from_server(n: int, server: int, clients: Sequence[int]) -> Star:
    """The round down: these clients hear the server, with weight 1, and nobody else hears anything.

    Args:
        n: The number of nodes.
        server: One of them.
        clients: Those that it sends to, without the server.
    """
    hears = np.zeros(n, np.int64)
    hears[np.asarray(clients, np.int64)] = 1
    indptr = np.concatenate([[0], np.cumsum(hears)])
    return Star(n, Compressed(indptr, np.full(len(clients), server, np.int64), np.ones(len(clients))))
