"""Which algorithms run on which topologies."""

from __future__ import annotations

from algorithms import Algorithm, ChocoSGD
from topologies import Schedule


def suits(algorithm: Algorithm, topology: Schedule) -> bool:
    """Whether the topology has what the algorithm needs."""
    has_all = all(getattr(topology, need) for need in algorithm.needs)
    if isinstance(algorithm, ChocoSGD):  # it keeps copies for each round of a period
        return has_all and (topology.static if algorithm.order == "overlapped" else topology.period is not None)
    return has_all
