"""What an algorithm needs of the topology that it runs on."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from algorithms import Method
from topologies import Schedule, Topology, smallest_eigenvalue
from topologies.spectra.convergence import no_consensus

HERE = str(Path(__file__).parent)
ROUNDING = 1e-9  # of an eigenvalue
PROPERTIES = {  # in words, and what has them
    "static": ("static", "ring, torus and complete are"),
    "symmetric": ("symmetric", "ring, torus and complete are"),
    "row_stochastic": ("row stochastic", "Topology(graph) is, and Topology(graph, weights='uniform')"),
    "column_stochastic": ("column stochastic", "Topology(graph, weights='push') is, and what is doubly stochastic"),
    "doubly_stochastic": ("doubly stochastic", "ring, torus, complete and exponential are"),
    "tree": ("a tree", "path and star are"),
}

SUMS = {"row_stochastic", "column_stochastic", "doubly_stochastic", "symmetric", "tree"}  # "tree": W is not used
USES_W = SUMS - {"tree"}


def check_needs(algorithm: Method, topology: Schedule) -> None:
    """Refuse a topology that lacks one of the algorithm's `needs`, or with which averaging leads nowhere.

    Raises:
        ValueError: naming the algorithm, the property and the topology, or the second eigenvalue.
    """
    for need in _needs(algorithm):
        if not getattr(topology, need):
            words, hint = PROPERTIES[need]
            raise ValueError(
                f"{type(algorithm).__name__} needs a topology that is {words}, and {topology.name} is not; {hint}"
            )
    if isinstance(topology, Topology) and USES_W.intersection(_needs(algorithm)):
        reason = no_consensus(topology)
        if reason is not None:
            raise ValueError(f"{type(algorithm).__name__} averages, and {reason}")
    if algorithm.least_eigenvalue > -1:
        least = smallest_eigenvalue(topology[0])
        if least < algorithm.least_eigenvalue - ROUNDING:
            raise ValueError(
                f"{type(algorithm).__name__} needs a mixing matrix with all eigenvalues above "
                f"{algorithm.least_eigenvalue:.4g}, and {topology.name} has one of {least:.4g}; (I + W) / 2 has none "
                f"below 0: Topology.from_matrix((np.eye(n) + W) / 2)"
            )


def bias(algorithm: Method, topology: Schedule) -> str | None:
    """What to warn of if the algorithm averages over a topology that does not keep the average; None otherwise."""
    if "row_stochastic" not in _needs(algorithm) or topology.doubly_stochastic:
        return None
    return (
        f"the mixing matrix of {topology.name} is not doubly stochastic: averaging weighs some nodes more "
        f"than others, which biases methods that do not correct for it"
    )


def warn_caller(text: str) -> None:
    """Warn of the line of the user's own code by which this package was entered."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


def _needs(algorithm: Method) -> tuple[str, ...]:
    """All of them: rows that sum to 1 as well, unless they say otherwise what does, or W is not used."""
    if SUMS.intersection(algorithm.needs) or not algorithm.needs:
        return algorithm.needs
    return ("row_stochastic", *algorithm.needs)
