"""Agnostic federated learning: good for the worst mixture of the clients' data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.server import collect
from algorithms.checks import check
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.proximal.simplex import Simplex


@dataclass
class AFLState(FederatedState):
    """The state of `AFL`.

    Attributes:
        mixture: (k, K) float64, lambda at the nodes that keep the server.
        loss: (k, 1), F_k(w), in the first iteration of the round.
    """

    mixture: Tensor
    loss: Tensor


@dataclass(frozen=True)
class AFL(Federated[AFLState]):
    """Agnostic federated learning; for rounds and the other options see `Federated`.

    It looks for the w whose largest loss of a client is least, the saddle point of sum_k lambda_k F_k(w) over w and the
    mixtures lambda in the simplex, by descent and ascent at a time. lambda_k = 1/K at the start; F_k(w) is what client
    k loses in the first iteration of the round:

        w      <- w - server_lr sum_k lambda_k (w - u_k)
        lambda <- the projection of lambda + mixture_lr (F_1(w), ..., F_K(w)) on the simplex

    In the paper a round is one stochastic gradient, local_steps = 1, and the mean of all w is output; here that is the
    last one. With more local iterations it is the method of Deng, Kamani, Mahdavi, "Distributionally Robust
    Federated Averaging", NeurIPS 2020, but that all clients take part and losses are those at the start of a round.

    Sent: as FedAvg, with a number more up from each client, F_k(w).

    Mohri, Sivek, Suresh, "Agnostic Federated Learning", ICML 2019, arXiv 1902.00146, Stochastic-AFL.

    Args:
        mixture_lr: Learning rate of lambda, > 0.
    """

    mixture_lr: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.mixture_lr < math.inf, self, "mixture_lr", "> 0")
        everyone = isinstance(self.participation, float) and self.participation == 1.0
        check(everyone, self, "participation", "left out: all losses must be known")
        check(self.sampling == "uniform", self, "sampling", "left out: everyone takes part")
        check(self.weighting == "sampled", self, "weighting", "left out: clients count by their losses")
        check(self.weights == "equal", self, "weights", "left out: clients count by their losses")
        self.check_even("all losses must be known")

    @property
    def acts_on_losses(self) -> bool:
        return True

    @property
    def proportional(self) -> bool:
        return False

    def start(self, x: Tensor, network: Network) -> AFLState:
        state, K = super().start(x, network), self.clients(network)
        state.mixture = torch.full((len(x), K), 1 / K, dtype=torch.float64)
        return state

    def first_state(self, server: Tensor) -> AFLState:
        nothing = torch.zeros_like(server[:, :1])
        return AFLState(**vars(super().first_state(server)), mixture=nothing.double(), loss=nothing)

    def local_iteration(self, state: AFLState, sample: Sample, network: Network) -> None:
        if state.step % self.local_steps == 0:
            state.loss = sample.loss[:, None].to(state.x.dtype, copy=True)
        super().local_iteration(state, sample, network)

    def end_round(self, state: AFLState, server_lr: float, network: Network) -> Tensor:
        sent, here = self.sent_up(state, self.travelled(state, network), network), self.keepers(network)
        mixture = state.mixture[here]
        # Who does not keep the server does not know the weights, and does not use them.
        weights = (len(state.clients) * mixture[:1]).flatten().tolist() or [1.0] * len(state.clients)
        mean = self.mean_of(sent, state.clients, weights, network)
        losses = self._losses(state, network)
        if len(mixture):
            state.mixture[here] = Simplex().prox(mixture + self.mixture_lr * losses, 1.0)
        return self.moved(state, mean, server_lr, network)

    def _losses(self, state: AFLState, network: Network) -> Tensor:
        """(K,) float64: all clients' losses, at the nodes that keep the server; elsewhere none."""
        if not self.servers:
            return network.gather(state.loss)[:, 0].double()
        heard = collect(state.loss, state.clients, network)
        return torch.cat([state.loss[:0, 0], *(heard[client] for client in state.clients if heard)]).double()
