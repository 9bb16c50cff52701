"""Extreme eigenvalues of large sparse symmetric matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
