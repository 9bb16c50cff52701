"""Which topology an optimizer gets."""

from __future__ import annotations

from typing import Any

from algorithms import Algorithm
from gossip.needs import check_needs
from topologies import FAMILIES, Schedule, Topology


def chosen(topology: Any, algorithm: Algorithm, n: int) -> Schedule:
    """The topology of n nodes, if the algorithm can use it."""
    if isinstance(topology, str):
        families = {family.__name__: family for family in FAMILIES}
        if topology not in families:
            raise ValueError(f"there is no topology {topology!r}; there are {', '.join(families)}")
        topology = families[topology]
    made = topology(n) if callable(topology) else topology
    schedule = made if isinstance(made, Schedule) else Topology(made)
    if schedule.n != n:
        raise ValueError(f"{schedule.name} has {schedule.n} nodes but there are {n} ranks, and every rank is one node")
    check_needs(algorithm, schedule)
    return schedule
