"""Who needs which rows of whom, for one mixing matrix, as one rank sees it. Pure NumPy, no MPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class Matrix(Protocol):
    """A sparse matrix in compressed rows, such as `Topology.arrays`, with ascending columns in each row."""

    @property
    def indptr(self) -> Indices:
        """(n + 1,) where each row begins and ends."""

    @property
    def indices(self) -> Indices:
        """The columns."""

    @property
    def data(self) -> NDArray[np.float64]:
        """The weights."""


def owners_of(hosted: Sequence[Sequence[int]]) -> Indices:
    """(n,): the rank of each node, when rank r hosts the nodes `hosted[r]`."""
    rank_of = np.empty(sum(map(len, hosted)), np.int64)
    for rank, nodes in enumerate(hosted):
        rank_of[nodes] = rank
    return rank_of


def entries_of(matrix: Matrix, rows: Sequence[int]) -> tuple[Indices, Indices]:
    """(where the entries of each of these rows begin and end; where each of them is in the matrix's arrays)."""
    begins = matrix.indptr[rows].astype(np.int64)
    counts = matrix.indptr[np.asarray(rows) + 1] - begins
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return indptr, np.arange(indptr[-1]) + np.repeat(begins - indptr[:-1], counts)


@dataclass(frozen=True, eq=False)
class HaloPlan:
    """What one rank sends, receives and sums in one round.

    The terms of a local node's sum are the in-neighbours and itself, in node order; the terms of the first local
    node come first. A term's row lies in the stack of its owner, who is this rank or another.

    Attributes:
        indptr: (k + 1,) where the terms of each local node begin and end.
        nodes: (terms,) the nodes that are summed.
        weights: (terms,) their mixing weights, float64.
        owners: (terms,) 0 for this rank, s for rank `sources[s - 1]`.
        rows: (terms,) the row of the node in its owner's stack.
        places: (terms,) the row of the node in what its owner sends; in the stack for this rank's own nodes.
        receive: rank -> the rows of its stack that it sends, ascending.
        send: rank -> the local rows that it needs, ascending.
        out_degree: (k,) how many other nodes, wherever they are, listen to each local node.
    """

    indptr: Indices
    nodes: Indices
    weights: NDArray[np.float64]
    owners: Indices
    rows: Indices
    places: Indices
    receive: Mapping[int, Indices]
    send: Mapping[int, Indices]
    out_degree: Indices

    @cached_property
    def sources(self) -> list[int]:
        """The ranks that this one receives from, ascending."""
        return list(self.receive)

    @classmethod
    def build(cls, matrix: Matrix, hosted: Sequence[Sequence[int]], rank: int) -> HaloPlan:
        """The plan of `rank` for the n x n mixing matrix, when rank r hosts the nodes `hosted[r]`, ascending."""
        k, n = len(hosted[rank]), len(matrix.indptr) - 1
        rank_of, row_of = owners_of(hosted), np.empty(n, np.int64)
        for nodes_there in hosted:
            row_of[nodes_there] = np.arange(len(nodes_there))
        indptr, entries = entries_of(matrix, hosted[rank])
        nodes = matrix.indices[entries].astype(np.int64)
        hosts, rows = rank_of[nodes], row_of[nodes]

        owners, places, receive = np.zeros_like(nodes), rows.copy(), {}
        for source in np.unique(hosts[hosts != rank]).tolist():
            terms = hosts == source
            receive[source], places[terms] = np.unique(rows[terms], return_inverse=True)
            owners[terms] = len(receive)

        listeners = np.repeat(np.arange(n), np.diff(matrix.indptr))
        heard = (rank_of[matrix.indices] == rank) & (listeners != matrix.indices)
        sent = row_of[matrix.indices[heard]]
        targets = rank_of[listeners[heard]]
        send = {
            int(target): np.unique(sent[targets == target]) for target in np.unique(targets[targets != rank]).tolist()
        }
        return cls(
            indptr=indptr,
            nodes=nodes,
            weights=matrix.data[entries],
            owners=owners,
            rows=rows,
            places=places,
            receive=receive,
            send=send,
            out_degree=np.bincount(sent, minlength=k),
        )
