"""Who needs which rows of whom: the halo of a rank, for one mixing matrix. Pure NumPy, no MPI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Indices = NDArray[np.int64]


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


@dataclass(frozen=True)
class HaloPlan:
    """What one rank sends, receives and sums in one round.

    A mix works on the rows of `columns`: the local nodes and the halo, which is every other node that a local
    one listens to. They are in node order, and since ranks own contiguous blocks, what comes from one rank is
    one contiguous slice of them.

    Attributes:
        columns: (k + h,) the nodes whose rows are read, ascending; all k local ones are among them.
        local: Where the local rows lie in `columns`.
        weights: (k, k + h) the mixing weights of the local nodes, float64.
        send: rank -> the local rows that it needs, ascending.
        receive: rank -> the slice of `columns` that it sends.
        out_degree: (k,) how many other nodes, wherever they are, listen to each local node.
    """

    columns: Indices
    local: slice
    weights: csr_array
    send: Mapping[int, Indices]
    receive: Mapping[int, slice]
    out_degree: Indices

    @classmethod
    def build(cls, matrix: csr_array, blocks: Sequence[range], rank: int) -> HaloPlan:
        """The plan of `rank` for the n x n mixing matrix, when rank r hosts the nodes `blocks[r]`."""
        mine = blocks[rank]
        starts = np.array([block.start for block in blocks])
        here = matrix[mine.start : mine.stop]
        columns = np.union1d(here.indices, np.arange(mine.start, mine.stop)).astype(np.int64)
        first = int(np.searchsorted(columns, mine.start))
        weights = csr_array(
            (here.data, np.searchsorted(columns, here.indices), here.indptr), shape=(len(mine), len(columns))
        )

        owners = np.searchsorted(starts, columns, side="right") - 1
        receive = {
            int(owner): slice(*np.searchsorted(owners, [owner, owner + 1]).tolist())
            for owner in np.unique(owners)
            if owner != rank
        }

        edges = matrix.tocoo()
        heard = (edges.col >= mine.start) & (edges.col < mine.stop) & (edges.row != edges.col)
        rows = edges.col[heard].astype(np.int64) - mine.start
        listeners = np.searchsorted(starts, edges.row[heard], side="right") - 1
        send = {
            int(listener): np.unique(rows[listeners == listener])
            for listener in np.unique(listeners)
            if listener != rank
        }
        return cls(
            columns=columns,
            local=slice(first, first + len(mine)),
            weights=weights,
            send=send,
            receive=receive,
            out_degree=np.bincount(rows, minlength=len(mine)),
        )
