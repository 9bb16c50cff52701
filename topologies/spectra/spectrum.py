"""How fast gossip averages: the spectral gap of a mixing matrix, the contraction of a schedule.

Below, J = 1 1^T / n is the exact average. For every W whose rows or columns sum to 1, W - J has the eigenvalues of W
with one eigenvalue 1 replaced by 0 (A. Brauer, "Limits for the characteristic roots of a matrix IV", Duke
Math. J. 19(1), 1952), which spares sorting out that eigenvalue.
"""

from __future__ import annotations

import numpy as np

from topologies.schedule import Schedule
from topologies.schedules.random import RandomSchedule
from topologies.spectra.eigenvalues import DENSE_NODES, PRECISE_NODES, circulant_eigenvalues, extreme_eigenvalues
from topologies.topology import Topology


def smallest_and_second_eigenvalue(topology: Topology) -> tuple[float, float]:
    """The smallest and the second largest eigenvalue of a symmetric mixing matrix; of one node, 1 and 0.

    To machine precision up to 100,000 nodes, and beyond if the graph looks the same from every node, as rings, tori and
    circulant graphs do; else the error is at most about 1e-4 of 1 minus the eigenvalue; see
    `topologies.spectra.eigenvalues.extreme_eigenvalues`.

    Args:
        topology: a static topology with a symmetric matrix.

    Raises:
        ValueError: the topology varies with time, or its matrix is not symmetric.
    """
    if not isinstance(topology, Topology) or not topology.symmetric:
        raise ValueError("the smallest eigenvalue needs a Topology whose mixing matrix is symmetric")
    return extreme_eigenvalues(topology.matrix) if topology.n > 1 else (1.0, 0.0)


def spectral_gap(topology: Topology) -> float:
    """1 - |second largest eigenvalue modulus of W|: 1 averages in one round, near 0 mixes slowly.

    One node has the gap 1. The gap of a symmetric W is as precise as `smallest_and_second_eigenvalue`. That of others
    with more than 1000 nodes that do not look the same from every node is from ARPACK: to machine precision up to
    100,000 nodes; beyond, the error is below 1e-4.

    Args:
        topology: a static topology; for a schedule see `contraction_per_round`.

    Raises:
        ValueError: the topology varies with time.
        scipy.sparse.linalg.ArpackNoConvergence: W is large, not symmetric, and mixes too slowly for ARPACK.
    """
    if not isinstance(topology, Topology):
        raise ValueError("spectral_gap needs a Topology, got a Schedule: use contraction_per_round(schedule)")
    if topology.n == 1:
        return 1.0
    if topology.symmetric:
        return 1.0 - float(np.abs(smallest_and_second_eigenvalue(topology)).max())
    if topology.n <= DENSE_NODES:
        return float(1.0 - np.abs(np.linalg.eigvals(topology.matrix.toarray() - 1 / topology.n)).max())
    values = circulant_eigenvalues(topology.arrays)
    if values is None:
        return 1.0 - _largest_modulus(topology)
    values[int(np.argmin(np.abs(values - 1)))] = 0
    return float(1.0 - np.abs(values).max())


def smallest_eigenvalue(topology: Topology) -> float:
    """The smallest eigenvalue of a symmetric mixing matrix, as precise as `smallest_and_second_eigenvalue`.

    Args:
        topology: a static topology with a symmetric matrix.

    Raises:
        ValueError: the topology varies with time, or its matrix is not symmetric.
    """
    return smallest_and_second_eigenvalue(topology)[0]


def laplacian_norm(topology: Topology) -> float:
    """|I - W|_2, the largest singular value of the Laplacian I - W: at most 2 for a doubly stochastic W >= 0.

    For a symmetric W it is 1 minus the smallest eigenvalue. Of others it works on the dense (n, n) matrix, unless there
    are more than 1000 nodes and all look the same.

    Args:
        topology: a static topology.
    """
    if topology.symmetric:
        return 1.0 - smallest_eigenvalue(topology)
    values = circulant_eigenvalues(topology.arrays) if topology.n > DENSE_NODES else None
    if values is not None:  # W is normal
        return float(np.abs(1 - values).max())
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
    """Largest eigenvalue modulus of W - J, W large, sparse and not symmetric."""
    from scipy.sparse.linalg import LinearOperator, eigs

    def deviation(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = topology.matrix @ x - x.mean()
        return result

    n = topology.n
    search = {"ncv": 64} if n <= PRECISE_NODES else {"ncv": 24, "tol": 1e-4}
    operator = LinearOperator((n, n), matvec=deviation, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)  # ARPACK's own choice differs from call to call
    return float(np.abs(eigs(operator, k=1, v0=start, maxiter=1000, return_eigenvectors=False, **search)).max())
