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


def blocks(n: int, ranks: int) -> list[range]:
    """The nodes of each rank: contiguous blocks whose sizes differ by at most one.

    Raises:
        ValueError: if there are more ranks than nodes.
    """
    if ranks > n:
        raise ValueError(
            f"{ranks} ranks for {n} nodes: every rank needs a node, so use at most {n} ranks or more nodes"
        )
    return [range(r * n // ranks, (r + 1) * n // ranks) for r in range(ranks)]


@dataclass(frozen=True, eq=False)
class HaloPlan:
    """What one rank sends, receives and sums in one round.

    The terms of a local node's sum are the in-neighbours and itself, in node order; the terms of the first local
    node come first. A term's row lies in the block of its owner, who is this rank or another.

    Attributes:
        indptr: (k + 1,) where the terms of each local node begin and end.
        nodes: (terms,) the nodes that are summed.
        weights: (terms,) their mixing weights, float64.
        owners: (terms,) 0 for this rank, s for rank `sources[s - 1]`.
        rows: (terms,) the row of the node in its owner's block.
        places: (terms,) the row of the node in what its owner sends; in the block for this rank's own nodes.
        receive: rank -> the rows of its block that it sends, ascending.
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
    def build(cls, matrix: Matrix, blocks: Sequence[range], rank: int) -> HaloPlan:
        """The plan of `rank` for the n x n mixing matrix, when rank r hosts the nodes `blocks[r]`."""
        mine = blocks[rank]
        starts = np.array([block.start for block in blocks])
        first, last = matrix.indptr[mine.start], matrix.indptr[mine.stop]
        nodes = matrix.indices[first:last].astype(np.int64)
        hosts = np.searchsorted(starts, nodes, side="right") - 1
        rows = nodes - starts[hosts]

        owners, places, receive = np.zeros_like(nodes), rows.copy(), {}
        for source in np.unique(hosts[hosts != rank]).tolist():
            terms = hosts == source
            receive[source], places[terms] = np.unique(rows[terms], return_inverse=True)
            owners[terms] = len(receive)

        listeners = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
        heard = (matrix.indices >= mine.start) & (matrix.indices < mine.stop) & (listeners != matrix.indices)
        sent = matrix.indices[heard].astype(np.int64) - mine.start
        targets = np.searchsorted(starts, listeners[heard], side="right") - 1
        send = {
            int(target): np.unique(sent[targets == target]) for target in np.unique(targets[targets != rank]).tolist()
        }
        return cls(
            indptr=(matrix.indptr[mine.start : mine.stop + 1] - first).astype(np.int64),
            nodes=nodes,
            weights=matrix.data[first:last],
            owners=owners,
            rows=rows,
            places=places,
            receive=receive,
            send=send,
            out_degree=np.bincount(sent, minlength=len(mine)),
        )
