"""FedAdagrad: FedAvg whose server takes steps of Adagrad."""

from __future__ import annotations

import math
from dataclasses import dataclass

from algorithms.checks import check, positive
from algorithms.federated.federated import Federated, FederatedState
from algorithms.optimizers import LocalOptimizer
from algorithms.optimizers.uncorrected import Adagrad
from algorithms.schedules.learning_rate import LearningRate


@dataclass(frozen=True)
class FedAdagrad(Federated[FederatedState]):
    """Federated averaging with Adagrad; for rounds, what is sent, and the other options see `Federated`.

        D = sum_k p_k (u_k - w)            u_k: client k's parameters after `local_steps` iterations from w
        m <- beta1 m + (1 - beta1) D       m = 0 at the start
        v <- v + D^2                       v = `second_moment` at the start
        w <- w + server_lr m / (sqrt(v) + tau)

    Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021,
    arXiv 2003.00295, Algorithm 2, whose experiments have beta1 = 0; it asks for v >= tau^2 at the start.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        tau: Added to the root of the sum of squares, > 0.
        second_moment: That sum at the start, >= 0.
    """

    server_lr: float | LearningRate = 0.1
    beta1: float = 0.0
    tau: float = 1e-3
    second_moment: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.beta1 < 1, self, "beta1", "in [0, 1)")
        check(positive(self.tau), self, "tau", "> 0")
        check(0 <= self.second_moment < math.inf, self, "second_moment", ">= 0")

    @property
    def server_rule(self) -> LocalOptimizer:
        return Adagrad(self.beta1, self.tau, self.second_moment)
