"""Federated methods, whose topology does not matter."""

from __future__ import annotations

from algorithms import (
    AFL,
    QSGD,
    Adagrad,
    Adam,
    Contraction,
    Delivery,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedDyn,
    FedMom,
    FedNova,
    FedPAQ,
    FedProx,
    FedYogi,
    Mime,
    Minibatch,
    QFedAvg,
    Saga,
    Scaffold,
    ScaledSign,
    SecureFedAvg,
    SineAvailability,
    TopK,
    TraceAvailability,
)
from tests.cases import Case
from tests.cases.workloads import digits

CASES = {
    "FedAvg": Case(FedAvg(lr=0.05, local_steps=3)),
    "FedAvg-some": Case(FedAvg(lr=0.05, local_steps=2, participation=3, sampling="independent", weighting="unbiased")),
    "FedAvg-examples": Case(
        FedAvg(
            lr=0.01, local_steps=2, participation=0.5, sampling="proportional", weights="examples", optimizer=Adam()
        ),
        workload=digits(split=0.5),
        oracle=Minibatch(8),
        steps=6,
        for_own_loops=False,
    ),
    "FedProx": Case(
        FedProx(lr=0.05, local_steps=3, mu=0.5, weights=(1.0, 2.0, 3.0, 0.0, 5.0, 1.0, 2.0)), for_own_loops=False
    ),
    "FedMom": Case(FedMom(lr=0.05, local_steps=3, participation=2)),
    "FedAdam": Case(FedAdam(lr=0.05, local_steps=3, participation=4), for_own_loops=False),
    "FedYogi": Case(
        FedYogi(lr=0.05, local_steps=3, sampling="power-of-choice", participation=2, candidates=4), for_own_loops=False
    ),
    "FedAvgM": Case(FedAvgM(lr=0.05, local_steps=3, participation=4, nesterov=True), for_own_loops=False),
    "FedAdagrad": Case(FedAdagrad(lr=0.05, local_steps=3, participation=2, optimizer=Adagrad(beta1=0.5))),
    "FedDyn": Case(FedDyn(lr=0.05, local_steps=3, participation=2, sampling="independent")),
    "FedDyn-replicated": Case(
        FedDyn(lr=0.05, local_steps=2, participation=4, alpha=0.5, server="replicated"), for_own_loops=False
    ),
    "QFedAvg": Case(QFedAvg(lr=0.05, local_steps=3, participation=4, q=2.0), for_own_loops=False),
    "QFedAvg-replicated": Case(
        QFedAvg(lr=0.05, local_steps=2, participation=4, q=0.5, server="replicated"), for_own_loops=False
    ),
    "FedNova": Case(
        FedNova(lr=0.05, local_steps=3, participation=4, client_steps=(1, 2, 3, 3, 1, 2, 3)), for_own_loops=False
    ),
    "AFL": Case(AFL(lr=0.05, local_steps=3, mixture_lr=0.05), for_own_loops=False),
    "AFL-replicated": Case(AFL(lr=0.05, local_steps=2, mixture_lr=0.1, server="replicated"), for_own_loops=False),
    "FedPAQ": Case(FedPAQ(lr=0.05, local_steps=3, participation=2, compressor=QSGD(levels=3)), for_own_loops=False),
    "FedAvg-compressed-links": Case(
        FedAvg(
            lr=0.05,
            local_steps=2,
            participation=0.5,
            sampling="independent",
            compressor=ScaledSign(),
            server_compressor=TopK(k=2),
        ),
        for_own_loops=False,
    ),
    "Scaffold-compressed-links": Case(
        Scaffold(
            lr=0.05, local_steps=2, participation=2, compressor=TopK(k=2), server_compressor=Contraction(QSGD(levels=2))
        ),
        for_own_loops=False,
    ),
    "Mime": Case(Mime(lr=0.05, local_steps=3, participation=2, beta2=0.9, epsilon=0.1)),
    "MimeLite-compressed-links": Case(
        Mime(
            lr=0.05,
            local_steps=2,
            participation=2,
            lite=True,
            compressor=ScaledSign(),
            server_compressor=TopK(k=2),
        ),
        for_own_loops=False,
    ),
    "Scaffold": Case(Scaffold(lr=0.05, local_steps=3, participation=4), for_own_loops=False),
    "FedAvg-clients-come-and-go": Case(
        FedAvg(
            lr=0.05,
            local_steps=2,
            participation=2,
            availability=SineAvailability(share=0.6, swing=0.4, period=4.0),
            delivery=Delivery(dropout=0.3, unfinished="kept", extra=0.4),
        )
    ),
    "FedNova-slow-candidates": Case(
        FedNova(
            lr=0.05,
            local_steps=3,
            participation=2,
            sampling="power-of-choice",
            candidates=4,
            availability=TraceAvailability(((0, 1, 3, 4, 6), (2,), (), (1, 2, 3, 4, 5, 6))),
            delivery=Delivery(unfinished="kept", speeds=(4.0, 2.5, 1.2), spread=0.5),
        ),
        for_own_loops=False,
    ),
    "FedAvg-oracle-with-memory": Case(FedAvg(lr=0.05, local_steps=3, participation=2), oracle=Saga(2)),
    "FedYogi-replicated": Case(
        FedYogi(lr=0.05, local_steps=2, sampling="power-of-choice", participation=2, candidates=3, server="replicated"),
        for_own_loops=False,
    ),
    "Scaffold-replicated": Case(
        Scaffold(lr=0.05, local_steps=3, participation=4, server="replicated"), for_own_loops=False
    ),
    "SecureFedAvg": Case(
        SecureFedAvg(lr=0.05, local_steps=2, participation=5, threshold=0.5, vanishing=0.25), for_own_loops=False
    ),
}
