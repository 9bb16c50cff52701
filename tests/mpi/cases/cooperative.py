"""Local updates with averages from time to time, some of which travel meanwhile."""

from __future__ import annotations

import numpy as np

from algorithms import (
    AdaComm,
    AdamW,
    Clars,
    CocodSGD,
    CooperativeSGD,
    ElasticAveraging,
    LeaderSGD,
    LocalSGD,
    Minibatch,
    OverlapLocalSGD,
    elastic_averaging_sgd,
)
from gossip import SimulatedClock
from gossip.workloads import LeastSquares
from tests.mpi.cases import NODES, Case
from topologies import complete, elastic_averaging, elastic_averaging_tree


def without_auxiliary(v: int) -> LeastSquares:
    """A problem for the nodes with data."""
    random = np.random.default_rng(1)
    m = NODES - v
    return LeastSquares(random.normal(size=(m, 11, 10)), random.normal(size=(m, 11)), l2=0.01)


CLOCK = SimulatedClock(compute_seconds=1.0, latency=0.2, bandwidth=100.0, exponential_seconds=0.5)
CASES = [
    Case(LocalSGD(lr=0.05, period=3, momentum=0.5)),
    Case(LocalSGD(lr=0.05, period=4, switch=3, slow_momentum=0.5, momentum=0.5, reset_momentum=True)),
    Case(CooperativeSGD(lr=0.05, period=3, momentum=0.5)),
    Case(elastic_averaging_sgd(0.05, period=2), elastic_averaging(NODES), workload=without_auxiliary(1)),
    Case(
        elastic_averaging_sgd(0.05, auxiliary=3, momentum=0.5),
        elastic_averaging_tree(NODES),
        workload=without_auxiliary(3),
    ),
    Case(CooperativeSGD(lr=0.05, auxiliary=3), complete(NODES), Minibatch(batch=4), without_auxiliary(3)),
    Case(ElasticAveraging(lr=0.05, period=2)),
    Case(ElasticAveraging(lr=0.05, period=2, order="simultaneous", momentum=0.5)),
    Case(ElasticAveraging(lr=0.05, overlap=False, optimizer=AdamW())),
    Case(OverlapLocalSGD(lr=0.05, period=2)),
    Case(OverlapLocalSGD(lr=0.05, period=3, beta=0.0, momentum=0.5)),
    Case(CocodSGD(lr=0.05, period=2, optimizer=Clars(trust=0.1))),  # whose norms overtake the averages
    Case(LeaderSGD(lr=0.05, period=2)),
    Case(LocalSGD(lr=0.05, period=AdaComm(4, interval=7.0), momentum=0.5), clock=CLOCK),
    Case(OverlapLocalSGD(lr=0.05, period=AdaComm(4, interval=7.0, refined=False)), clock=CLOCK),
    Case(LeaderSGD(lr=0.05, period=1, groups=3, global_every=2, momentum=0.5)),
]
