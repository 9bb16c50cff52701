"""SCAFFOLD: FedAvg whose clients correct their gradients by control variates, so that they do not drift apart.

Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning",
ICML 2020, arXiv 1910.06378.

With c_k of client k and c of the server, 0 at the start, and learning rates lr_1, ..., lr_H in the round:

    u_k <- u_k - lr_h (grad f_k(u_k) - c_k + c)              H = local_steps times, from w
    c_k+ = c_k - c + (w - u_k) / (lr_1 + ... + lr_H)         option II: the mean of the gradients on the way
    w  <- w - server_lr sum_k p_k (w - u_k)
    c  <- c + sum_k q_k (c_k+ - c_k)                         over the clients that take part; q_k = 1/K if all are equal

With a constant lr the divisor is the paper's H lr. With all clients taking part c is the mean of the c_k, and with full
gradients w goes to the optimum whatever local_steps is. Sent: two vectors where FedAvg sends one, in a round; with a
server they would be (w, c) down and (w - u_k, c_k+ - c_k) up.

Momentum would break option II: the clients' optimizer is SGD without, possibly with weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.federated.federated import Federated, absent, weighted_mean
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD
from algorithms.schedules.learning_rate import learning_rate, vanishes
from algorithms.state import State


@dataclass(frozen=True)
class Scaffold(Federated):
    """SCAFFOLD; for its options see `Federated`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = isinstance(self.optimizer, SGD) and not self.optimizer.momentum
        check(plain, self, "optimizer", "SGD without momentum")
        check(self.client_steps is None, self, "client_steps", "None: all clients make as many steps here")

    def start(self, x: Tensor, network: Network) -> State:
        state = super().start(x, network)
        state.control = torch.zeros_like(x)  # c_k
        state.server_control = torch.zeros_like(x)  # c, with equal rows
        state.travelled = 0.0  # the sum of the round's learning rates so far
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        state.travelled += learning_rate(self.lr, state.step)
        super().step(state, sample, network)

    def local_gradient(self, state: State, gradient: Tensor) -> Tensor:
        return gradient - state.control + state.server_control

    def end_round(self, state: State, server_lr: float, network: Network) -> None:
        change = self._change(state)
        g = self.pseudo_gradient(state, network)
        state.server = add_scaled(state.server, -server_lr, g)
        state.control = state.control + change
        state.server_control = state.server_control + weighted_mean(change, self.shares(network), network)
        state.travelled = 0.0

    def _change(self, state: State) -> Tensor:
        """(k, d): c_k+ - c_k, 0 for those that do not take part or have not moved because lr is 0."""
        if vanishes(state.travelled, state.x.dtype):
            return torch.zeros_like(state.x)
        change = (state.server - state.x) / state.travelled - state.server_control
        for row in absent(state):
            change[row] = 0
        return change
