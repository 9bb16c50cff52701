"""Matrices in files: NumPy's, scipy's and those of Matrix Market."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from topologies.graphs.formats.edges import Edges
from topologies.graphs.formats.source import Source
from topologies.matrices import STOCHASTIC_TOLERANCE, as_csr

if TYPE_CHECKING:
    from scipy.sparse import coo_array, csr_array

ROUGHLY = 1e-3  # how far off 1 sums are that are meant to be 1


class Matrix(NamedTuple):
    """A square matrix, either W or of who is linked to whom."""

    entries: coo_array
    """As the file has it: of what is there twice, both."""

    whole: bool
    """Whether its entries are whole numbers, as those of an adjacency matrix, or all the same as 1."""

    first: int = 0
    """What the file calls the first row: 0, or 1 as in Matrix Market."""

    @property
    def labels(self) -> range:
        """What the file calls the rows."""
        return range(self.first, self.first + self.entries.shape[0])

    @property
    def csr(self) -> csr_array:
        """The same; what is there twice is summed."""
        return as_csr(self.entries)

    @property
    def weighted(self) -> bool:
        """Whether it says more than who is linked to whom."""
        return bool((self.entries.data != 1).any())

    def is_mixing(self) -> bool:
        """Whether its rows or its columns sum to 1, and not by a single 1 in each, which links and weighs nothing."""
        sums = self._off(STOCHASTIC_TOLERANCE)
        return bool(sums.all(axis=1).any()) and (self.weighted or self.entries.shape[0] == 1)

    def is_nearly_mixing(self) -> bool:
        """Whether half of its rows, or of its columns, sum to 1 or nearly so."""
        return not self.whole and bool((self._off(ROUGHLY).mean(axis=1) >= 0.5).any())

    def edges(self, receivers_first: bool) -> Edges:
        """Who is linked to whom.

        Args:
            receivers_first: entry (i, j) is what i gives to what it hears from j, as in W; else it is an edge from i to
                j, as in adjacency matrices.
        """
        there = self.entries.data != 0
        rows, columns = (index[there].astype(np.int64) for index in self.entries.coords)
        senders, receivers = (columns, rows) if receivers_first else (rows, columns)
        return Edges(self.labels, senders, receivers, self.entries.data[there].astype(float), None)

    def _off(self, tolerance: float) -> np.ndarray:
        """(2, n): of each row, and of each column, whether it sums to 1."""
        csr = self.csr
        return np.stack([np.abs(csr.sum(axis=axis) - 1) <= tolerance for axis in (1, 0)])


def read_npy(source: Source) -> Matrix:
    """An array that NumPy has saved."""
    return _matrix(np.load(io.BytesIO(source.data), allow_pickle=False))


def read_npz(source: Source) -> Matrix:
    """A sparse matrix that scipy has saved, or the only array that NumPy has."""
    from scipy.sparse import load_npz

    with np.load(io.BytesIO(source.data), allow_pickle=False) as arrays:
        if "format" in arrays.files:
            return _matrix(load_npz(io.BytesIO(source.data)))
        if len(arrays.files) != 1:
            raise ValueError(f"it holds {len(arrays.files)} arrays: {', '.join(arrays.files)}; one is needed")
        return _matrix(arrays[arrays.files[0]])


def read_mtx(source: Source) -> Matrix:
    """A matrix in the form of Matrix Market: coordinate or array; pattern, integer or real; general or symmetric."""
    from scipy.io import mmread

    head = source.text.lstrip().split("\n", 1)[0].lower().split()
    found = mmread(io.BytesIO(source.text.lstrip().encode()))
    return _matrix(found, whole="pattern" in head, first=1)


def _matrix(found: Any, whole: bool = False, first: int = 0) -> Matrix:
    from scipy.sparse import coo_array

    as_csr(found)  # refuses what is no square matrix of real numbers
    entries = coo_array(found)
    if not np.isfinite(entries.data).all():
        raise ValueError(f"an entry is {entries.data[~np.isfinite(entries.data)][0]}, and all need to be finite")
    whole = whole or entries.data.dtype.kind in "biu" or bool(np.isin(entries.data, (0, 1)).all())
    return Matrix(entries, whole, first)
