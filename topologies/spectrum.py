"""How fast gossip averages: the spectral gap of a mixing matrix, the contraction of a schedule.

Below, J = 1 1^T / n is the exact average. For every W whose rows or columns sum to 1, W - J has the eigenvalues of W
with one eigenvalue 1 replaced by 0 (A. Brauer, "Limits for the characteristic roots of a matrix IV", Duke
Math. J. 19(1), 1952), which spares sorting out that eigenvalue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from topologies.extreme import DENSE_NODES, translation_eigenvalues
from topologies.random_schedules import RandomSchedule
from topologies.topology import Schedule, Topology

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

PRECISE_NODES = 100_000  # above, 64 vectors take gigabytes, and machine precision minutes


def spectral_gap(topology: Topology) -> float:
    """1 - |second largest eigenvalue modulus of W|: 1 averages in one round, near 0 mixes slowly.

    One node has the gap 1. Above 1000 nodes the eigenvalues of graphs that look the same from every node (rings, tori,
    circulant and exponential ones) come from a Fourier transform, of others the eigenvalue from ARPACK: to machine
    precision up to 100,000 nodes; beyond, its error is below 1e-4 and mostly 1e-6.

    Args:
        topology: a static topology; for a schedule see `contraction_per_round`.

    Raises:
        ValueError: the topology varies with time.
        scipy.sparse.linalg.ArpackNoConvergence: W is large, not symmetric, and mixes too slowly for ARPACK.
    """
    if not isinstance(topology, Topology):
        raise ValueError("spectral_gap needs a Topology, got a Schedule: use contraction_per_round(schedule)")
    if topology.n > DENSE_NODES:
        values = translation_eigenvalues(topology.arrays)
        if values is None:
            return 1.0 - _largest_modulus(topology)
        values[int(np.argmin(np.abs(values - 1)))] = 0
        return float(1.0 - np.abs(values).max())
    deviation = topology.matrix.toarray() - 1 / topology.n
    eigenvalues = np.linalg.eigvalsh(deviation) if topology.symmetric else np.linalg.eigvals(deviation)
    return float(1.0 - np.abs(eigenvalues).max())


def smallest_eigenvalue(topology: Topology) -> float:
    """The smallest eigenvalue of a symmetric mixing matrix, to machine precision.

    Args:
        topology: a static topology with a symmetric matrix.

    Raises:
        ValueError: the topology varies with time, or its matrix is not symmetric.
    """
    if not isinstance(topology, Topology) or not topology.symmetric:
        raise ValueError("smallest_eigenvalue needs a Topology whose mixing matrix is symmetric")
    if topology.n <= DENSE_NODES:
        return float(np.linalg.eigvalsh(topology.matrix.toarray())[0])
    values = translation_eigenvalues(topology.arrays)
    if values is not None:
        return float(values.real.min())
    from scipy.sparse.linalg import eigsh

    start, search = _search(topology.n)
    return float(eigsh(topology.matrix, k=1, which="SA", v0=start, return_eigenvectors=False, **search)[0])


def laplacian_norm(topology: Topology) -> float:
    """|I - W|_2, the largest singular value of the Laplacian I - W: at most 2 for a doubly stochastic W >= 0.

    For a symmetric W it is 1 minus the smallest eigenvalue. Otherwise it works on the dense (n, n) matrix.

    Args:
        topology: a static topology.
    """
    if topology.symmetric:
        return 1.0 - smallest_eigenvalue(topology)
    return float(np.linalg.norm(np.eye(topology.n) - topology.matrix.toarray(), ord=2))


def contraction_per_round(schedule: Schedule) -> float:
    """1 - ||P - J||_2^(1/period), P the product of the mixing matrices of one period.

    The factor by which the distance to consensus shrinks in a round, on (geometric) average and in the worst
    case, subtracted from 1: 1 if a period averages exactly, at most 0 if some disagreement does not shrink.
    For a symmetric static topology it is the spectral gap. Works on dense (n, n) matrices: for up to a few
    thousand nodes.

    A schedule that is drawn anew in each round never repeats: here it is 1 - sqrt(lambda), lambda = ||E[W^T W] - J||
    the factor by which the expected square of the distance shrinks at least. Where that expectation has no closed form,
    the mean over 500 rounds stands for it. (Rounds with drop-out in bursts depend on each other, which it leaves out.)

    Args:
        schedule: a schedule or a topology (of period 1).

    Raises:
        ValueError: the rows of the matrices do not sum to 1, so that they keep no consensus.
    """
    if not schedule.row_stochastic:
        raise ValueError(
            f"contraction_per_round needs matrices whose rows sum to 1, those of {schedule.name} are column stochastic "
            f"only: they keep the sum, and no consensus"
        )
    if isinstance(schedule, RandomSchedule):
        moment = schedule.second_moment()
        deviation = (moment.toarray() if hasattr(moment, "toarray") else moment) - 1 / schedule.n
        return 1.0 - float(np.sqrt(np.abs(np.linalg.eigvalsh(deviation)).max()))
    product = np.eye(schedule.n)
    for each in schedule:
        product = each.matrix @ product
    norm = float(np.linalg.norm(product - 1 / schedule.n, ord=2))
    if norm < schedule.n * np.finfo(np.float64).eps:
        norm = 0.0  # rounding, which the root would blow up to something visible
    return float(1.0 - norm ** (1 / len(schedule)))


def _largest_modulus(topology: Topology) -> float:
    """Largest eigenvalue modulus of W - J, W large and sparse."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigs, eigsh

    start, search = _search(topology.n)
    # A graph that mixes slowly has small separators, so that factorizing its matrix is cheap. Of many nodes only trees
    # and the like are known to be such.
    cheap = topology.symmetric and (topology.n <= PRECISE_NODES or len(topology.arrays.data) < 3.5 * topology.n)
    solve, restarts = (eigsh if topology.symmetric else eigs), 20 if cheap else 1000
    try:
        values = solve(_deviation(topology), k=1, v0=start, maxiter=restarts, return_eigenvectors=False, **search)
    except ArpackNoConvergence:
        if not cheap:
            raise
        # The shifts lie just outside the Gershgorin discs, hence the eigenvalues nearest to them are the extreme ones.
        matrix, diagonal = topology.matrix.tocsc(), topology.matrix.diagonal()
        radii = abs(topology.matrix).sum(axis=1) - np.abs(diagonal)
        lowest, highest = (diagonal - radii).min() - 1e-9, (diagonal + radii).max() + 1e-9
        low = eigsh(matrix, k=1, sigma=lowest, v0=start, return_eigenvectors=False)
        high = eigsh(matrix, k=2, sigma=highest, v0=start, return_eigenvectors=False)  # 1 and the next
        values = np.append(low, high.min())
    return float(np.abs(values).max())


def _search(n: int) -> tuple[np.ndarray, dict[str, Any]]:
    """ARPACK's start vector, which is its own choice from call to call otherwise, and how it searches."""
    start = np.random.default_rng(0).standard_normal(n)
    return start, {"ncv": 64} if n <= PRECISE_NODES else {"ncv": 24, "tol": 1e-4}


def _deviation(topology: Topology) -> LinearOperator:
    """x -> (W - J) x without forming the dense J."""
    from scipy.sparse.linalg import LinearOperator

    def apply(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = topology.matrix @ x - x.mean()
        return result

    return LinearOperator((topology.n, topology.n), matvec=apply, dtype=np.float64)
