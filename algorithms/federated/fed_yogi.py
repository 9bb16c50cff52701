"""FedYogi: FedAvg whose server takes steps of Yogi."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.federated.fed_adam import FedAdam
from algorithms.optimizers import LocalOptimizer
from algorithms.optimizers.uncorrected import Yogi


@dataclass(frozen=True)
class FedYogi(FedAdam):
    """Federated averaging with Yogi; for its options see `FedAdam`, for rounds and what is sent `Federated`.

    FedAdam with another second moment, which changes by no more than (1 - beta2) D^2 in a round:

        v <- v - (1 - beta2) D^2 sign(v - D^2)

    Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021,
    arXiv 2003.00295; Zaheer, Reddi, Sachan, Kale, Kumar, "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018.
    """

    @property
    def server_rule(self) -> LocalOptimizer:
        return Yogi(self.beta1, self.beta2, self.tau, self.second_moment)
