"""FedProx: FedAvg whose clients are held near the server's parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from algorithms.checks import check
from algorithms.federated.federated import Federated, FederatedState
from algorithms.numerics.sums import add_scaled
from algorithms.state import Rows


@dataclass(frozen=True)
class FedProx(Federated[FederatedState]):
    """Federated averaging with a proximal term; for rounds, what is sent, and the other options see `Federated`.

    Client k trains on f_k(u) + (mu / 2) |u - w|^2: it uses gradients grad f_k(u) + mu (u - w). The rest is `FedAvg`. In
    the paper clients are drawn proportionally to their data, with replacement: sampling = "proportional".

    Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated Optimization in Heterogeneous Networks", MLSys 2020,
    arXiv 1812.06127.

    Args:
        mu: Weight of the proximal term, >= 0.
    """

    mu: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.mu < math.inf, self, "mu", ">= 0")

    @property
    def proportional(self) -> bool:
        return super().proportional and not self.mu

    def local_gradient(self, state: FederatedState, gradient: Tensor, rows: Rows) -> Tensor:
        return add_scaled(gradient, self.mu, state.x[rows] - state.server[rows])
