"""Sparse mixing matrices: what they are made of, and what is checked of them.

networkx and scipy are imported inside the functions that need them: a rank that only mixes needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

STOCHASTIC_TOLERANCE = 1e-9
SYMMETRIC_TOLERANCE = 1e-12


class Arrays(NamedTuple):
    """A sparse matrix in compressed rows: row i has data[t] in column indices[t] for indptr[i] <= t < indptr[i + 1]."""

    indptr: np.ndarray  # (n + 1,) int64
    indices: np.ndarray  # int64, ascending in each row
    data: np.ndarray  # float64


def as_csr(value: Any) -> csr_array:
    """A fresh csr_array in canonical form of any square matrix of real numbers."""
    from scipy.sparse import csr_array, issparse

    try:
        array = value if issparse(value) else np.asarray(value)
    except ValueError:  # rows of unequal length
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[0] != array.shape[1]:
        what = f"{type(value).__name__} of shape {array.shape}" if array.dtype.kind in "biufc" else repr(type(value))
        raise ValueError(f"a topology is made of a networkx graph or a square matrix of real numbers, got {what}")
    if array.shape[0] == 0:
        raise ValueError("a topology needs at least one node, the matrix given has none")
    matrix = csr_array(array, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def read_only(arrays: Arrays) -> Arrays:
    """The same arrays, which nobody can write to any more."""
    for array in arrays:
        array.flags.writeable = False
    return arrays


def check_sums(matrix: csr_array) -> tuple[bool, bool]:
    """Finite entries, rows or columns that sum to 1; whether the rows do, and whether the columns do."""
    if not np.isfinite(matrix.data).all():
        bad = matrix.data[~np.isfinite(matrix.data)][0]
        raise ValueError(f"a mixing matrix must be finite, got an entry {bad}; look for a division by a zero degree")
    rows, columns = matrix.sum(axis=1), matrix.sum(axis=0)
    row, column = (int(np.argmax(np.abs(sums - 1))) for sums in (rows, columns))
    off = np.abs([rows[row] - 1, columns[column] - 1])
    if off.min() > STOCHASTIC_TOLERANCE:
        raise ValueError(
            f"the rows or the columns of a mixing matrix must sum to 1 (to {STOCHASTIC_TOLERANCE:g}), row {row} sums "
            f"to {rows[row]:.12g} and column {column} to {columns[column]:.12g}; "
            f"for an adjacency matrix give Topology(networkx.from_numpy_array(A)) instead"
        )
    return bool(off[0] <= STOCHASTIC_TOLERANCE), bool(off[1] <= STOCHASTIC_TOLERANCE)


def check_on_edges(matrix: csr_array, adjacency: csr_array) -> None:
    """No weight w_ij without an edge j -> i."""
    from scipy.sparse import coo_array

    stray = (matrix != 0).astype(np.int8) - (matrix != 0).astype(np.int8).multiply(adjacency)
    stray = coo_array(stray)
    off = (stray.data != 0) & (stray.row != stray.col)
    if off.any():
        i, j = int(stray.row[off][0]), int(stray.col[off][0])
        raise ValueError(
            f"the weight rule put {off.sum()} weights where the graph has no edge, the first on w[{i}, {j}]; "
            f"w[i, j] may be non-zero only on an edge (j, i) or on the diagonal"
        )


def check_connected(support: csr_array, what: str, fix: str, labels: Sequence[Any] | None = None) -> None:
    """Every node reaches every other along non-zero weights."""
    from scipy.sparse.csgraph import connected_components

    count, component = connected_components(support, directed=True, connection="strong")
    if count > 1:
        smallest = np.flatnonzero(component == np.argmin(np.bincount(component))).tolist()
        shown = ", ".join(repr(labels[i] if labels else i) for i in smallest[:5])
        more = f" and {len(smallest) - 5} more" if len(smallest) > 5 else ""
        strongly = "strongly " if is_directed(support) else ""
        raise ValueError(
            f"{what} of {support.shape[0]} nodes is not {strongly}connected: it has {count} "
            f"{strongly}connected components, one of them with nodes {shown}{more}; {fix}"
        )


def is_directed(support: csr_array) -> bool:
    """Whether some edge runs one way only."""
    pattern = support != 0
    return bool((pattern != pattern.T).nnz)


def graph_of(support: csr_array) -> nx.Graph:
    """The networkx graph of the off-diagonal non-zeros, frozen."""
    import networkx as nx
    from scipy.sparse import coo_array

    directed = is_directed(support)
    entries = coo_array(support)
    kept = entries.row != entries.col if directed else entries.row > entries.col
    graph = nx.empty_graph(support.shape[0], create_using=nx.DiGraph if directed else nx.Graph)
    graph.add_edges_from(zip(entries.col[kept].tolist(), entries.row[kept].tolist(), strict=True))
    return nx.freeze(graph)


def average_of_shifts(n: int, hops: Sequence[int]) -> csr_array:
    """(n, n) matrix in which node i gives equal weights to i - hop modulo n for every hop."""
    from scipy.sparse import csr_array

    rows = np.repeat(np.arange(n), len(hops))
    columns = (np.arange(n)[:, None] - np.array(hops)).ravel() % n
    return csr_array((np.full(rows.size, 1 / len(hops)), (rows, columns)), shape=(n, n))


def pairwise_average(partner: np.ndarray) -> csr_array:
    """The matrix in which every node averages with its partner, or keeps what it has if that is itself."""
    from scipy.sparse import csr_array

    n = len(partner)
    rows, columns = np.tile(np.arange(n), 2), np.append(np.arange(n), partner)
    return csr_array((np.full(2 * n, 0.5), (rows, columns)), shape=(n, n))
