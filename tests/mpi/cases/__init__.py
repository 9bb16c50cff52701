"""What must be the same bits on any number of ranks: one module a family, each with `CASES`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from algorithms import Algorithm, Full, Oracle
from gossip import SimulatedClock
from gossip.workloads import LeastSquares
from topologies import Schedule, ring

NODES = 7


def least_squares() -> LeastSquares:
    """A small heterogeneous problem for NODES nodes."""
    random = np.random.default_rng(1)
    return LeastSquares(random.normal(size=(NODES, 11, 10)), random.normal(size=(NODES, 11)), l2=0.01)


@dataclass(frozen=True)
class Case:
    """One run, by default on full gradients of `least_squares` on a ring."""

    algorithm: Algorithm
    topology: Schedule = field(default_factory=lambda: ring(NODES))
    oracle: Oracle = field(default_factory=Full)
    workload: object = field(default_factory=least_squares)
    steps: int = 12
    clock: SimulatedClock | None = None
