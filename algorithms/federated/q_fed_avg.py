"""q-FedAvg: FedAvg that lets clients count the more the larger their losses are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.server import local_rows
from algorithms.checks import check
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.numerics.sums import squared_norms
from algorithms.schedules.learning_rate import learning_rate, vanishes
from algorithms.state import as_rows

TINY = 1e-10


@dataclass
class QFedAvgState(FederatedState):
    """The state of `QFedAvg`.

    Attributes:
        loss: (k, 1), F_k(w), in the first iteration of the round.
    """

    loss: Tensor


@dataclass(frozen=True)
class QFedAvg(Federated[QFedAvgState]):
    """q-FedAvg, fair resource allocation; for rounds and the options see `Federated`.

    It descends on sum_k F_k(w)^(q + 1) / (q + 1), which is the closer to the largest loss of a client the larger q is.
    With F_k(w) what client k loses in the first iteration of the round, and L = 1 / lr:

        Delta_k = F_k(w)^q L (w - u_k)
        h_k     = q F_k(w)^(q - 1) |L (w - u_k)|^2 + L F_k(w)^q
        w <- w - server_lr sum_k Delta_k / sum_k h_k         over the clients of the round

    With q = 0 and equal clients it is FedAvg. With a schedule of lr, L is that of the first iteration of the round; the
    loss is that of the examples of this iteration, an estimate unless the oracle takes all; 1e-10 is added to it, as in
    the authors' code. Where lr has come to 0, w stays.

    Sent: as FedAvg, with a number more up from each client, h_k.

    Li, Sanjabi, Beirami, Smith, "Fair Resource Allocation in Federated Learning", ICLR 2020, arXiv 1905.10497,
    Algorithm 2.

    Args:
        q: How much fairness counts, >= 0.
    """

    q: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.q < math.inf, self, "q", ">= 0")
        check(self.weights == "equal", self, "weights", "left out: clients count by what they lose")
        check(self.weighting == "sampled", self, "weighting", "left out: clients count by what they lose")
        once = self.sampling in ("uniform", "independent")
        check(once, self, "sampling", "uniform or independent, by which a client is once in a round at most")

    @property
    def acts_on_losses(self) -> bool:
        return True

    @property
    def proportional(self) -> bool:
        return False

    def first_state(self, server: Tensor) -> QFedAvgState:
        return QFedAvgState(**vars(super().first_state(server)), loss=torch.zeros_like(server[:, :1]))

    def step(self, state: QFedAvgState, sample: Sample, network: Network) -> None:
        if state.step % self.local_steps == 0:
            state.loss = sample.loss[:, None].to(state.x.dtype, copy=True)
        super().step(state, sample, network)

    def end_round(self, state: QFedAvgState, server_lr: float, network: Network) -> Tensor:
        server = state.server[self.keepers(network)]
        lr = learning_rate(self.lr, state.step - state.step % self.local_steps)
        if not state.clients or vanishes(lr, state.x.dtype):
            return server
        scale, rows = 1 / lr, as_rows(local_rows(state.clients, network))
        moved, loss = scale * self.travelled(state, network), state.loss[rows] + TINY
        powers = loss**self.q
        lengths = self.q * loss ** (self.q - 1) * squared_norms(moved)[:, None].to(loss.dtype)
        each = [1.0] * len(state.clients)
        delta = self.mean_of(self.sent_up(state, powers * moved, network), state.clients, each, network)
        total = self.mean_of(lengths + scale * powers, state.clients, each, network)
        return server - server_lr * delta / torch.where(total == 0, 1.0, total)  # powers of losses may vanish
