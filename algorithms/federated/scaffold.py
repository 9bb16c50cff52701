"""SCAFFOLD: FedAvg whose clients correct their gradients by control variates, so that they do not drift apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.server import local_rows
from algorithms.checks import check
from algorithms.compressors.message import dense
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.optimizers import SGD
from algorithms.schedules.learning_rate import learning_rate, vanishes
from algorithms.state import Rows, as_rows


@dataclass
class ScaffoldState(FederatedState):
    """The state of `Scaffold`.

    Attributes:
        control: (k, d), c_k.
        server_control: (k, d), c as each node knows it, as `server` is w.
        distance: The sum of the learning rates of the round so far.
    """

    control: Tensor
    server_control: Tensor
    distance: float = 0.0


@dataclass(frozen=True)
class Scaffold(Federated[ScaffoldState]):
    """SCAFFOLD; for rounds and the options see `Federated`.

    With c_k of client k and c of the server, 0 at the start, and learning rates lr_1, ..., lr_H in the round:

        u_k <- u_k - lr_h (grad f_k(u_k) - c_k + c)              H = local_steps times, from w
        c_k+ = c_k - c + (w - u_k) / (lr_1 + ... + lr_H)         option II: the mean of the gradients on the way
        w  <- w - server_lr sum_k p_k (w - u_k)
        c  <- c + sum_k q_k (c_k+ - c_k)                         over the clients that take part; q_k = 1/K if equal

    With a constant lr the divisor is the paper's H lr. With all clients taking part c is the mean of the c_k, and with
    full gradients w goes to the optimum whatever local_steps is. Momentum would break option II: the clients' optimizer
    is SGD without, possibly with weight decay.

    Sent in a round: two vectors where FedAvg sends one, w - u_k and c_k+ - c_k up and w and c down.

    Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning",
    ICML 2020, arXiv 1910.06378.
    """

    vectors: ClassVar[tuple[str, ...]] = ("model", "control")

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = isinstance(self.optimizer, SGD) and not self.optimizer.momentum
        check(plain, self, "optimizer", "SGD without momentum")
        check(self.client_steps is None, self, "client_steps", "None: all clients make as many steps here")
        check(self.delivery.unfinished == "lost", self, "delivery", 'one with unfinished = "lost": as many steps here')

    def first_state(self, server: Tensor) -> ScaffoldState:
        nothing = torch.zeros_like(server)
        return ScaffoldState(**vars(super().first_state(server)), control=nothing, server_control=nothing.clone())

    def step(self, state: ScaffoldState, sample: Sample, network: Network) -> None:
        state.distance += learning_rate(self.lr, state.step)
        super().step(state, sample, network)

    def local_gradient(self, state: ScaffoldState, gradient: Tensor, rows: Rows) -> Tensor:
        return gradient - state.control[rows] + state.server_control[rows]

    def end_round(self, state: ScaffoldState, server_lr: float, network: Network) -> Tensor:
        rows = as_rows(local_rows(state.clients, network))
        change = self.sent_up(state, self._change(state, rows), network, "control")
        server = super().end_round(state, server_lr, network)
        state.control[rows] = state.control[rows] + dense(change)
        shares = self.shares(network)
        mean = self.mean_of(change, state.clients, [shares[client] for client in state.clients], network)
        state.server_control[self.keepers(network)] += mean
        return server

    def begin_round(self, state: ScaffoldState, server: Tensor, network: Network) -> None:
        super().begin_round(state, server, network)
        state.distance = 0.0
        self.send_down(state, state.server_control, network, "control")

    def _change(self, state: ScaffoldState, rows: Rows) -> Tensor:
        """(r, d): c_k+ - c_k of the local clients of the round, 0 where they have not moved because lr is 0."""
        if vanishes(state.distance, state.x.dtype):
            return torch.zeros_like(state.x[rows])
        return (state.server[rows] - state.x[rows]) / state.distance - state.server_control[rows]
