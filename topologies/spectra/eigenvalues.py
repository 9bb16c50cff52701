"""Extreme eigenvalues of large sparse symmetric matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from topologies.matrices import Arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DENSE_NODES = 1000  # up to here LAPACK takes less than about a second
PRECISE_NODES = 100_000  # above, machine precision takes minutes
ROUGH = 1e-4  # then, relative to the distance from the eigenvalue of the constant vector


def extreme_eigenvalues(matrix: csr_array) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of a symmetric matrix but for the one of the constant vector.

    That vector must be an eigenvector, as of mixing matrices, Laplacians and the adjacency matrices of regular graphs.

    Up to 1000 nodes from LAPACK. Above, of matrices that look the same from every node, by a Fourier transform (see
    `circulant_rows`), and of others by the recurrence of Lanczos on vectors whose entries sum to 0, without
    orthogonalizing any further, which yields some eigenvalues several times and the extreme ones all the same; where
    one of these takes too many steps, by factorization. To machine precision up to 100,000 nodes; beyond, the error is
    at most about 1e-4 of the distance from the eigenvalue of the constant vector, mostly far less.

    Source: C. Paige, "Accuracy and effectiveness of the Lanczos algorithm for the symmetric eigenproblem", Linear
    Algebra and its Applications 34, 1980.

    Args:
        matrix: (n, n), n > 1, with ascending columns in each row.
    """
    n = matrix.shape[0]
    constant = float(matrix[[0], :].sum())
    if n <= DENSE_NODES:
        values: np.ndarray | None = np.linalg.eigvalsh(matrix.toarray())
    else:
        values = circulant_eigenvalues(Arrays(matrix.indptr, matrix.indices, matrix.data))
    if values is not None:
        others = np.delete(values.real, np.argmin(np.abs(values - constant)))
        return float(others.min()), float(others.max())
    # A graph that mixes slowly has small separators, so that factorizing its matrix is cheap. Of many nodes only trees
    # and the like are known to be such.
    few = n <= PRECISE_NODES or matrix.nnz < 3.5 * n
    low, high = _lanczos(matrix, constant, 1e-12 if n <= PRECISE_NODES else ROUGH, 1500 if few else 10_000)
    return (
        low if low is not None else _factorized(matrix, constant, -1),
        high if high is not None else _factorized(matrix, constant, 1),
    )


def _lanczos(matrix: csr_array, constant: float, tolerance: float, steps: int) -> tuple[float | None, float | None]:
    """`extreme_eigenvalues`, None where not within so many steps.

    The tolerance is relative to the distance from `constant`.
    """
    from scipy.linalg.blas import daxpy

    vector = before = np.random.default_rng(0).standard_normal(matrix.shape[0])
    vector -= vector.mean()
    vector /= np.linalg.norm(vector)
    diagonal, beside = np.empty(steps), np.empty(steps)
    size, check, known, values = 0.0, 10, [False, False], [0.0, 0.0]
    for step in range(steps):
        following = matrix @ vector
        diagonal[step] = vector @ following
        following = daxpy(vector, following, a=-diagonal[step])  # in place
        if step:
            following = daxpy(before, following, a=-beside[step - 1])
        following -= following.mean()
        beside[step] = np.linalg.norm(following)
        size = max(size, abs(diagonal[step]), beside[step])
        last = step == steps - 1 or beside[step] <= 1e-10 * size  # nowhere to go but to rounding errors
        if step == check or last:
            check += max(check // 20, 10)
            for end in (0, -1):
                values[end], error = _ritz(diagonal[: step + 1], beside[: step + 1], end)
                known[end] |= error <= max(tolerance * abs(values[end] - constant), 1e-15 * size)
            if all(known) or last:
                break
        following /= beside[step]
        before, vector = vector, following
    return values[0] if known[0] else None, values[1] if known[1] else None


def _ritz(diagonal: np.ndarray, beside: np.ndarray, end: int) -> tuple[float, float]:
    """The smallest (end 0) or largest (end -1) Ritz value after some steps of Lanczos, and about its error."""
    from scipy.linalg import eigh_tridiagonal

    m = len(diagonal)
    two = (0, min(1, m - 1)) if end == 0 else (max(m - 2, 0), m - 1)
    values, vectors = eigh_tridiagonal(diagonal, beside[:-1], select="i", select_range=two)
    residual, distance = float(beside[-1] * abs(vectors[-1, end])), float(values[-1] - values[0])
    return float(values[end]), min(residual, residual**2 / distance) if distance else residual


def _factorized(matrix: csr_array, constant: float, side: int) -> float:
    """The smallest (side -1) or largest (side 1) eigenvalue but for that of the constant vector.

    The shift lies just outside the Gershgorin discs, hence the eigenvalues nearest to it are the extreme ones.
    """
    from scipy.sparse.linalg import eigsh

    diagonal = matrix.diagonal()
    radii = abs(matrix).sum(axis=1) - np.abs(diagonal)
    shift = float((side * diagonal + radii).max() + 1e-9) * side
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    values = eigsh(matrix.tocsc(), k=2, sigma=shift, v0=start, return_eigenvectors=False)
    if np.abs(values - constant).min() < 1e-12:
        values = np.delete(values, np.argmin(np.abs(values - constant)))
    return float(side * (side * values).max())


def circulant_eigenvalues(arrays: Arrays) -> np.ndarray | None:
    """All n eigenvalues of a block circulant matrix with circulant blocks, None of any other: see `circulant_rows`.

    They are the discrete Fourier transform of the first row.

    Args:
        arrays: of the matrix.
    """
    rows = circulant_rows(arrays)
    if rows is None:
        return None
    n, first = len(arrays.indptr) - 1, slice(*arrays.indptr[:2])
    row = np.zeros(n)
    row[arrays.indices[first]] = arrays.data[first]
    values: np.ndarray = np.fft.fft2(row.reshape(rows, n // rows)).ravel()
    return values


def circulant_rows(arrays: Arrays) -> int | None:
    """The number of rows of which a matrix is block circulant with circulant blocks, or None if it is not.

    That is, for these rows x columns = n, w_ij depends on the differences of the rows and of the columns of i and j
    only (modulo rows and columns), as on rings, tori, circulant and exponential graphs.

    Args:
        arrays: of the matrix.
    """
    n = len(arrays.indptr) - 1
    degrees = np.diff(arrays.indptr)
    if (degrees != degrees[0]).any():
        return None
    degree = int(degrees[0])
    indices, weights = arrays.indices.reshape(n, degree), arrays.data.reshape(n, degree)
    for rows in (r for r in range(1, math.isqrt(n) + 1) if n % r == 0):
        if all(_is_circulant(indices, weights, rows, n // rows, block) for block in _blocks(n)):
            return rows
    return None


def _is_circulant(indices: np.ndarray, weights: np.ndarray, rows: int, columns: int, nodes: np.ndarray) -> bool:
    """Whether the rows of these nodes are the first, moved."""
    r = (nodes[:, None] // columns + indices[0] // columns) % rows
    c = (nodes[:, None] % columns + indices[0] % columns) % columns
    where = r * columns + c
    order = np.argsort(where, axis=1)
    if (np.take_along_axis(where, order, axis=1) != indices[nodes]).any():
        return False
    return np.allclose(weights[0][order], weights[nodes], rtol=1e-13, atol=1e-15)


def _blocks(n: int) -> Iterator[np.ndarray]:
    """All nodes, few at first, where what does not fit mostly shows."""
    start, size = 0, 16
    while start < n:
        yield np.arange(start, min(start + size, n))
        start, size = start + size, min(16 * size, 100_000)
