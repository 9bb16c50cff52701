"""What an algorithm needs of the topology that it runs on."""

from __future__ import annotations

import warnings

from algorithms import Algorithm
from topologies import Schedule


def check_needs(algorithm: Algorithm, topology: Schedule) -> None:
    """Refuse a topology that lacks one of the algorithm's `needs`.

    Raises:
        ValueError: naming the algorithm, the property and the topology.
    """
    for need in algorithm.needs:
        if not getattr(topology, need):
            raise ValueError(
                f"{type(algorithm).__name__} needs a topology that is {need.replace('_', ' ')}, and {topology.name} "
                f"is not; ring, torus and complete are"
            )


def warn_of_bias(topology: Schedule, stacklevel: int = 3) -> None:
    """Warn if averaging over this topology does not keep the average."""
    if not topology.doubly_stochastic:
        warnings.warn(
            f"the mixing matrix of {topology.name} is not doubly stochastic: averaging weighs some nodes more "
            f"than others, which biases methods that do not correct for it",
            stacklevel=stacklevel,
        )
