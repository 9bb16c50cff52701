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


def laplacian_ends(laplacian: csr_array) -> tuple[float, float]:
    """The second smallest and the largest eigenvalue of the Laplacian of a connected graph; of one node, 0 and 0.

    Above 1000 nodes from Lanczos, the second smallest by factorization where that alone is too slow.

    Args:
        laplacian: (n, n), symmetric, rows that sum to 0.
    """
    n = laplacian.shape[0]
    if n <= DENSE_NODES:
        values = np.linalg.eigvalsh(laplacian.toarray())
        return (float(values[1]), float(values[-1])) if n > 1 else (0.0, 0.0)
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    start = np.random.default_rng(0).standard_normal(n)
    largest = float(eigsh(laplacian, k=1, which="LA", v0=start, ncv=64, return_eigenvectors=False)[0])

    def lifted(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = laplacian @ x + largest * x.mean()  # the constant vectors' 0 becomes the largest
        return result

    operator = LinearOperator((n, n), matvec=lifted, dtype=np.float64)
    try:
        second = eigsh(operator, k=1, which="SA", v0=start, ncv=64, maxiter=20, return_eigenvectors=False)[0]
    except ArpackNoConvergence:
        # A graph that mixes slowly has small separators, so that factorizing its matrix is cheap.
        shift = -1e-9 * largest
        second = eigsh(laplacian.tocsc(), k=2, sigma=shift, v0=start, return_eigenvectors=False).max()
    return float(second), largest


def translation_eigenvalues(arrays: Arrays) -> np.ndarray | None:
    """All n eigenvalues of a matrix that looks the same from every node, or None if it does not.

    That is, for some rows x columns = n, w_ij depends on the differences of the rows and of the columns of i and j only
    (modulo rows and columns), as on rings, tori, circulant and exponential graphs. The eigenvalues are the discrete
    Fourier transform of the first row.

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
        columns = n // rows
        if all(_translated(indices, weights, rows, columns, block) for block in _blocks(n)):
            row = np.zeros(n)
            row[indices[0]] = weights[0]
            values: np.ndarray = np.fft.fft2(row.reshape(rows, columns)).ravel()
            return values
    return None


def _translated(indices: np.ndarray, weights: np.ndarray, rows: int, columns: int, nodes: np.ndarray) -> bool:
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


def second_modulus(adjacency: csr_array, degree: int) -> float:
    """The largest modulus of an eigenvalue of the adjacency matrix of a regular graph, but for +-degree.

    Args:
        adjacency: (n, n), symmetric, of a connected graph.
        degree: of all nodes.
    """
    n = adjacency.shape[0]
    if n <= DENSE_NODES:
        values = np.linalg.eigvalsh(adjacency.toarray())
    else:
        from scipy.sparse.linalg import eigsh

        start = np.random.default_rng(0).standard_normal(n)
        values = eigsh(adjacency, k=3, v0=start, ncv=64, tol=1e-9, return_eigenvectors=False)
    others = values[np.abs(np.abs(values) - degree) > 1e-9 * max(degree, 1)]
    return float(np.abs(others).max(initial=0))
