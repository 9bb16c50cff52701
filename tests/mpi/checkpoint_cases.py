"""Runs of 16 nodes, at least one of each family, that move from some ranks to others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.mpi.cases import Case

import gossip
from algorithms import (
    QSGD,
    Algorithm,
    Beer,
    ChocoSGD,
    CocodSGD,
    Contraction,
    DecentralizedSGD,
    DeepSqueeze,
    ElasticAveraging,
    ExactDiffusion,
    FedMom,
    FedYogi,
    GossipAveraging,
    InfinityNorm,
    Lead,
    Minibatch,
    PushSumSGD,
    RandomK,
    RelaySGD,
    Saga,
    Scaffold,
    SquarmSGD,
    Svrg,
    TopK,
    elastic_averaging_sgd,
)
from gossip.workloads import Averaging, LeastSquares
from topologies import (
    RandomizedGossip,
    Schedule,
    elastic_averaging,
    one_peer_exponential,
    path,
    random_out,
    ring,
)

N = 16
SAVED, STEPS = 7, 12  # steps after which a checkpoint is written, and steps in all


def squares(nodes: int = N) -> LeastSquares:
    """As many parameters as four ranks have nodes each."""
    random = np.random.default_rng(2)
    return LeastSquares(random.normal(size=(nodes, 9, 4)), random.normal(size=(nodes, 9)), l2=0.01)


def case(algorithm: Algorithm, topology: Schedule | None = None, **options: object) -> Case:
    arguments = {"topology": topology or ring(N), "workload": squares(), "steps": STEPS} | options
    return Case(algorithm, **arguments)  # type: ignore[arg-type]


CASES = [
    case(DecentralizedSGD(lr=0.05, order="consensus", momentum=0.9), one_peer_exponential(N), oracle=Minibatch(3)),
    case(ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=2)), one_peer_exponential(N)),
    case(ChocoSGD(lr=0.05, gamma=0.3, compressor=Contraction(QSGD(levels=3)), order="overlapped")),
    case(SquarmSGD(lr=0.05, gamma=0.3, compressor=RandomK(k=2), threshold=30.0, period=2)),
    case(Lead(lr=0.05, compressor=InfinityNorm(bits=2)), oracle=Saga(2, sampling="importance")),
    case(DeepSqueeze(lr=0.05, gamma=0.2, compressor=TopK(k=2)), oracle=Svrg(2)),
    case(Beer(lr=0.02, gamma=0.3, compressor=RandomK(k=2))),
    case(elastic_averaging_sgd(0.05, period=2), elastic_averaging(N), workload=squares(N - 1), oracle=Saga(2)),
    case(ElasticAveraging(lr=0.05, period=2, momentum=0.5)),
    case(CocodSGD(lr=0.05, period=3, momentum=0.5)),
    case(Scaffold(lr=0.05, local_steps=3, participation=5)),
    case(FedYogi(lr=0.05, local_steps=3, sampling="power-of-choice", participation=3, candidates=6), oracle=Saga(2)),
    case(FedMom(lr=0.05, local_steps=3, participation=4, server="replicated")),
    case(PushSumSGD(lr=0.05, overlap=True), random_out(N)),
    case(RelaySGD(lr=0.02, momentum=0.5), path(N)),
    case(ExactDiffusion(lr=0.05), oracle=Saga(2)),
    case(GossipAveraging(), RandomizedGossip(ring(N)), workload=Averaging()),
]


def results(steps: int, output: Path, transport: str = "auto") -> dict[str, np.ndarray]:
    """Go on with each of them as far as this; gives the models and all that is measured."""
    found: dict[str, np.ndarray] = {}
    for i, case in enumerate(CASES):
        result = gossip.run(
            case.workload,
            case.topology,
            case.algorithm,
            oracle=case.oracle,
            steps=steps,
            evaluate_every=4,
            output=output / str(i),
            resume="auto",
            transport=transport,  # type: ignore[arg-type]
            placement="spectral",
        )
        name = f"{i} {type(case.algorithm).__name__}"
        found[name] = result.model.numpy()
        for measured in sorted(result.history[0].keys() - {"seconds"}):
            found[f"{name} {measured}"] = np.array([record[measured] for record in result.history])
    return found
