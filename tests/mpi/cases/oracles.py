"""Oracles with state, and zeroth-order ones, on workloads of all kinds."""

from __future__ import annotations

from algorithms import (
    AdditiveNoise,
    DecentralizedSGD,
    ExactDiffusion,
    Full,
    LooplessSvrg,
    Minibatch,
    Oracle,
    Saga,
    Svrg,
    ZerothOrder,
)
from gossip.workloads import AdversarialPerturbation, Digits, Dirichlet, LogisticRegression, SigmoidLoss
from tests.mpi.cases import Case

REDUCED: tuple[Oracle, ...] = (
    Svrg(3),
    LooplessSvrg(2, 0.3),
    Saga(3),
    Svrg(2, 5, sampling="importance"),
    LooplessSvrg(2, sampling="importance"),
    Saga(3, sampling="importance"),
    Saga(3, refresh="independent"),
)
SKEWED = Dirichlet(1.0)  # nodes with different numbers of examples

CASES = [
    *(Case(ExactDiffusion(lr=0.05), oracle=oracle) for oracle in (*REDUCED, AdditiveNoise())),
    *(
        Case(DecentralizedSGD(lr=0.1), oracle=oracle, workload=LogisticRegression(split=SKEWED))
        for oracle in (Svrg(5), LooplessSvrg(5), Saga(5), Minibatch(5), Full())
    ),
    *(
        Case(
            DecentralizedSGD(lr=0.01),
            oracle=ZerothOrder(oracle, estimator),
            steps=6,
            workload=SigmoidLoss(split=SKEWED),
        )  # type: ignore[arg-type]
        for oracle in (Full(), Minibatch(4), Svrg(4), LooplessSvrg(4), Saga(4), Saga(2, "importance"))
        for estimator in ("coordinate", "gaussian")
    ),
    *(
        Case(DecentralizedSGD(lr=0.1), oracle=oracle, steps=6, workload=Digits(hidden=3))
        for oracle in (
            Svrg(10),
            Saga(5),
            ZerothOrder(Minibatch(5)),
            ZerothOrder(Svrg(5), "gaussian"),
            ZerothOrder(Minibatch(5), "gaussian", directions=3),
        )
    ),
    Case(
        DecentralizedSGD(lr=1e-3),
        oracle=ZerothOrder(Saga(1), "gaussian"),
        steps=6,
        workload=AdversarialPerturbation(images=16),
    ),
]
