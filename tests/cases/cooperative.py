"""Local updates with averages from time to time, some of which travel meanwhile."""

from __future__ import annotations

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
from tests.cases import Case
from topologies import complete, elastic_averaging, elastic_averaging_tree

CLOCK = {"compute_seconds": 1.0, "latency": 0.2, "bandwidth": 100.0, "exponential_seconds": 0.5}

CASES = {
    "LocalSGD": Case(LocalSGD(lr=0.05, period=3, momentum=0.5)),
    "LocalSGD-switch": Case(
        LocalSGD(lr=0.05, period=4, switch=3, slow_momentum=0.5, momentum=0.5, reset_momentum=True)
    ),
    "CooperativeSGD": Case(CooperativeSGD(lr=0.05, period=3, momentum=0.5)),
    "CooperativeSGD-elastic": Case(elastic_averaging_sgd(0.05, period=2), elastic_averaging, for_own_loops=False),
    "CooperativeSGD-elastic-tree": Case(
        elastic_averaging_sgd(0.05, auxiliary=3, momentum=0.5), elastic_averaging_tree, for_own_loops=False
    ),
    "CooperativeSGD-auxiliary": Case(
        CooperativeSGD(lr=0.05, auxiliary=3), complete, Minibatch(batch=4), for_own_loops=False
    ),
    "ElasticAveraging": Case(ElasticAveraging(lr=0.05, period=2)),
    "ElasticAveraging-simultaneous": Case(ElasticAveraging(lr=0.05, period=2, order="simultaneous", momentum=0.5)),
    "ElasticAveraging-adamw": Case(ElasticAveraging(lr=0.05, overlap=False, optimizer=AdamW())),
    "OverlapLocalSGD": Case(OverlapLocalSGD(lr=0.05, period=2)),
    "OverlapLocalSGD-momentum": Case(OverlapLocalSGD(lr=0.05, period=3, beta=0.0, momentum=0.5)),
    # Whose norms overtake the averages.
    "CocodSGD-clars": Case(CocodSGD(lr=0.05, period=2, optimizer=Clars(trust=0.1)), for_own_loops=False),
    "LeaderSGD": Case(LeaderSGD(lr=0.05, period=2), for_own_loops=False),
    "LeaderSGD-groups": Case(LeaderSGD(lr=0.05, period=1, groups=3, global_every=2, momentum=0.5), for_own_loops=False),
    "LocalSGD-adacomm": Case(
        LocalSGD(lr=0.05, period=AdaComm(4, interval=7.0), momentum=0.5), clock=CLOCK, for_own_loops=False
    ),
    "OverlapLocalSGD-adacomm": Case(
        OverlapLocalSGD(lr=0.05, period=AdaComm(4, interval=7.0, refined=False)), clock=CLOCK, for_own_loops=False
    ),
}
