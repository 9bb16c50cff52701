"""Oracles with state, and zeroth-order ones, on workloads of all kinds."""

from __future__ import annotations

from algorithms import (
    AdditiveNoise,
    DecentralizedSGD,
    ExactDiffusion,
    FedAvg,
    Full,
    LooplessSvrg,
    Minibatch,
    Oracle,
    PrivateMinibatch,
    Saga,
    Svrg,
    ZerothOrder,
)
from tests.cases import Case
from tests.cases.workloads import adversarial_perturbation, digits, logistic_regression, sigmoid_loss

ON_LEAST_SQUARES: dict[str, Oracle] = {
    "Svrg": Svrg(3),
    "LooplessSvrg": LooplessSvrg(2, 0.3),
    "Saga": Saga(3),
    "Svrg-importance": Svrg(2, 5, sampling="importance"),
    "LooplessSvrg-importance": LooplessSvrg(2, sampling="importance"),
    "Saga-importance": Saga(3, sampling="importance"),
    "Saga-independent": Saga(3, refresh="independent"),
    "AdditiveNoise": AdditiveNoise(),
}
ON_LOGISTIC_REGRESSION: dict[str, Oracle] = {
    "Svrg": Svrg(5),
    "LooplessSvrg": LooplessSvrg(5),
    "Saga": Saga(5),
    "Minibatch": Minibatch(5),
    "Full": Full(),
}
ON_SIGMOID_LOSS: dict[str, Oracle] = {
    "Full": Full(),
    "Minibatch": Minibatch(4),
    "Svrg": Svrg(4),
    "LooplessSvrg": LooplessSvrg(4),
    "Saga": Saga(4),
    "Saga-importance": Saga(2, "importance"),
}
ON_DIGITS: dict[str, Oracle] = {
    "Svrg": Svrg(10),
    "Saga": Saga(5),
    "ZerothOrder": ZerothOrder(Minibatch(5)),
    "ZerothOrder-Svrg-gaussian": ZerothOrder(Svrg(5), "gaussian"),
    "ZerothOrder-gaussian-directions": ZerothOrder(Minibatch(5), "gaussian", directions=3),
}

CASES = {
    **{name: Case(ExactDiffusion(lr=0.05), oracle=oracle) for name, oracle in ON_LEAST_SQUARES.items()},
    **{
        f"{name}-logistic": Case(DecentralizedSGD(lr=0.1), oracle=oracle, workload=logistic_regression)
        for name, oracle in ON_LOGISTIC_REGRESSION.items()
    },
    **{
        f"ZerothOrder-{name}-{estimator}-sigmoid": Case(
            DecentralizedSGD(lr=0.01),
            oracle=ZerothOrder(oracle, estimator),  # type: ignore[arg-type]
            steps=6,
            workload=sigmoid_loss,
        )
        for name, oracle in ON_SIGMOID_LOSS.items()
        for estimator in ("coordinate", "gaussian")
    },
    **{
        f"{name}-digits": Case(DecentralizedSGD(lr=0.1), oracle=oracle, steps=6, workload=digits(hidden=3))
        for name, oracle in ON_DIGITS.items()
    },
    "ZerothOrder-Saga-perturbation": Case(
        DecentralizedSGD(lr=1e-3),
        oracle=ZerothOrder(Saga(1), "gaussian"),
        steps=6,
        workload=adversarial_perturbation,
    ),
    "PrivateMinibatch-digits": Case(
        DecentralizedSGD(lr=0.1), oracle=PrivateMinibatch(5), workload=digits(hidden=3), steps=6
    ),
    "PrivateMinibatch-clients": Case(
        FedAvg(lr=0.05, local_steps=2, participation=3),
        oracle=PrivateMinibatch(4, clip=2.0, sampling="without replacement"),
    ),
}
