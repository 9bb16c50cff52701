"""FedDyn: FedAvg whose clients are regularised so that their optima become that of all."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.blocks.server import local_rows
from algorithms.checks import check, positive
from algorithms.compressors.message import dense
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate
from algorithms.state import Rows, as_rows


@dataclass
class FedDynState(FederatedState):
    """The state of `FedDyn`.

    Attributes:
        linear: (k, d), h_k of the clients.
        server_linear: (k, d), h, at the nodes that keep the server.
    """

    linear: Tensor
    server_linear: Tensor


@dataclass(frozen=True)
class FedDyn(Federated[FedDynState]):
    """Federated learning with dynamic regularisation; for rounds and the options see `Federated`.

    With h_k of client k and h of the server, 0 at the start, K clients, and P those of the round:

        client k:  u_k from w by gradients grad f_k(u) - h_k + alpha (u - w);   h_k <- h_k + alpha (w - u_k)
        server:    h <- h + alpha (1/K) sum_{k in P} (w - u_k);   w <- (1/|P|) sum_{k in P} u_k - h / alpha

    In the paper u_k is the minimiser of f_k(u) - <h_k, u> + (alpha / 2) |u - w|^2, and h_k then the gradient of f_k
    there; here it is what `local_steps` iterations make of it. So h is the mean of all h_k, and where nothing moves any
    more, all u_k are w, h = 0 and the mean of the gradients is 0: the optimum, whatever local_steps is. Where nobody
    takes part, w stays.

    Sent: as FedAvg, w - u_k up and w down.

    Acar, Zhao, Navarro, Mattina, Whatmough, Saligrama, "Federated Learning Based on Dynamic Regularization", ICLR 2021,
    arXiv 2111.04263, Algorithm 1.

    Args:
        alpha: Weight of the regulariser, > 0; the paper has 0.001 to 0.1.
    """

    server_lr: float | LearningRate = field(default=1.0, init=False)  # h says how far the server goes
    alpha: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(positive(self.alpha), self, "alpha", "> 0")
        check(self.weights == "equal", self, "weights", "left out: clients count alike")
        check(self.weighting == "sampled", self, "weighting", "left out: w is the mean of the clients of the round")
        once = self.sampling in ("uniform", "independent")
        check(once, self, "sampling", "uniform or independent, by which a client is once in a round at most")

    @property
    def proportional(self) -> bool:
        return False

    def first_state(self, server: Tensor) -> FedDynState:
        nothing = torch.zeros_like(server)
        return FedDynState(**vars(super().first_state(server)), linear=nothing, server_linear=nothing.clone())

    def local_gradient(self, state: FedDynState, gradient: Tensor, rows: Rows) -> Tensor:
        return add_scaled(gradient - state.linear[rows], self.alpha, state.x[rows] - state.server[rows])

    def end_round(self, state: FedDynState, server_lr: float, network: Network) -> Tensor:
        rows, here = as_rows(local_rows(state.clients, network)), self.keepers(network)
        if not state.clients:
            return state.server[here]
        sent = self.sent_up(state, self.travelled(state, network), network)
        mean = self.mean_of(sent, state.clients, [1.0] * len(state.clients), network)
        state.linear[rows] = add_scaled(state.linear[rows], self.alpha, dense(sent))
        state.server_linear[here] = add_scaled(state.server_linear[here], self.alpha, mean)
        w = add_scaled(state.server[here], -self.clients(network) / len(state.clients), mean)
        return add_scaled(w, -1 / self.alpha, state.server_linear[here])
