"""FedAdam: FedAvg whose server takes steps of Adam.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021,
arXiv 2003.00295.

    D = sum_k p_k (u_k - w)            u_k: client k's parameters after `local_steps` iterations from w
    m <- beta1 m + (1 - beta1) D       m = 0 at the start
    v <- beta2 v + (1 - beta2) D^2     v = `second_moment` at the start
    w <- w + server_lr m / (sqrt(v) + tau)

Without correction of the moments' bias, as in the paper. It asks for v >= tau^2 at the start; released codes start
from 0, as is the default here. Their tau is 1e-9 in some versions and 1e-3 in others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.federated.federated import Federated
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate
from algorithms.state import State


@dataclass(frozen=True)
class FedAdam(Federated):
    """Federated averaging with Adam; for the other options see `Federated`.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        beta2: Decay rate of the second moment, in [0, 1).
        tau: Added to the root of the second moment, > 0.
        second_moment: The second moment at the start, >= 0.
    """

    server_lr: float | LearningRate = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    second_moment: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.beta1 < 1, self, "beta1", "in [0, 1)")
        check(0 <= self.beta2 < 1, self, "beta2", "in [0, 1)")
        check(positive(self.tau), self, "tau", "> 0")
        check(0 <= self.second_moment < math.inf, self, "second_moment", ">= 0")

    def start(self, x: Tensor, network: Network) -> State:
        state = super().start(x, network)
        state.server_first = torch.zeros_like(x)
        state.server_second = torch.full_like(x, self.second_moment)
        return state

    def end_round(self, state: State, server_lr: float, network: Network) -> None:
        D = -self.pseudo_gradient(state, network)
        state.server_first = add_scaled((1 - self.beta1) * D, self.beta1, state.server_first)
        state.server_second = self.next_second(state.server_second, D * D)
        direction = state.server_first / (state.server_second.sqrt() + self.tau)
        state.server = add_scaled(state.server, server_lr, direction)

    def next_second(self, second: Tensor, square: Tensor) -> Tensor:
        """(k, d): the second moment, given D^2."""
        return add_scaled((1 - self.beta2) * square, self.beta2, second)
