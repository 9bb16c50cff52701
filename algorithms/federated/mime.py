"""Mime: clients that imitate a centralised method with momentum or Adam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.server import local_rows
from algorithms.checks import check, positive
from algorithms.compressors.message import dense
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD
from algorithms.state import Rows, as_rows


@dataclass
class MimeState(FederatedState):
    """The state of `Mime`. Of what the server has, each node has what it knows, as of `server`.

    Attributes:
        own: (k, d), c_k, the client's gradient at w.
        common: (k, d), c, the mean of these.
        first: (k, d), the first moment m.
        second: (k, d), the second moment v; None if there is none.
    """

    past: ClassVar[tuple[str, ...]] = ("client_memory", "first", "second")

    own: Tensor
    common: Tensor
    first: Tensor
    second: Tensor | None


@dataclass(frozen=True)
class Mime(Federated[MimeState]):
    """Mime and MimeLite; for rounds and the other options see `Federated`.

    Clients use the server's moments m and v, 0 at the start, in each local iteration, and leave them as they are:

        c_k = grad f_k(w),   c = sum_k p_k c_k over the clients of the round
        u_k <- u_k - lr U(grad f_k(u_k) - c_k + c)              from w; lite: U(grad f_k(u_k))
        U(g) = beta1 m + (1 - beta1) g                          divided by sqrt(v) + epsilon with beta2
        w <- w - server_lr sum_k p_k (w - u_k)
        m <- beta1 m + (1 - beta1) c,   v <- beta2 v + (1 - beta2) c^2

    c_k is what the oracle gives in the first iteration of a round. In the paper that is the gradient on all data of the
    client, and Mime subtracts a gradient at w on the same minibatch instead of c_k. `Svrg` with period = local_steps
    gives both, as its own estimate subtracts the one and adds the other; `Minibatch` gives an estimate of c_k.

    With full gradients, one local iteration and server_lr = 1 it is the centralised method; MimeLite with beta1 = 0 and
    without beta2 is FedAvg.

    Sent in a round: w - u_k and c_k up; w, m, v if there is one, and c unless lite, down, c in the first iteration.

    Karimireddy, Jaggi, Kale, Mohri, Reddi, Stich, Suresh, "Breaking the Centralized Barrier for Cross-Device Federated
    Learning", NeurIPS 2021, arXiv 2008.03606, Algorithm 1.

    Args:
        lite: Whether it is MimeLite.
        beta1: Decay rate of the first moment, in [0, 1).
        beta2: Decay rate of the second moment, in [0, 1); None for none: MimeSGDm, not MimeAdam.
        epsilon: Added to the root of the second moment, > 0.
    """

    vectors: ClassVar[tuple[str, ...]] = ("model", "gradient", "first moment", "second moment")

    optimizer: SGD = field(default_factory=SGD, init=False)  # U is in its place
    lite: bool = False
    beta1: float = 0.9
    beta2: float | None = None
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.beta1 < 1, self, "beta1", "in [0, 1)")
        check(self.beta2 is None or 0 <= self.beta2 < 1, self, "beta2", "in [0, 1), or None")
        check(positive(self.epsilon), self, "epsilon", "> 0")
        self.check_even("c is the mean over all clients of a round, which deliver in the end")

    @property
    def proportional(self) -> bool:
        return self.beta2 is None

    def first_state(self, server: Tensor) -> MimeState:
        own, common, first, second = (torch.zeros_like(server) for _ in range(4))
        moments = first, None if self.beta2 is None else second
        return MimeState(
            **vars(super().first_state(server)), own=own, common=common, first=moments[0], second=moments[1]
        )

    def local_iteration(self, state: MimeState, sample: Sample, network: Network) -> None:
        if state.step % self.local_steps == 0:
            self._share_gradients(state, sample, network)
        super().local_iteration(state, sample, network)

    def local_gradient(self, state: MimeState, gradient: Tensor, rows: Rows) -> Tensor:
        if not self.lite:
            gradient = gradient - state.own[rows] + state.common[rows]
        direction = add_scaled((1 - self.beta1) * gradient, self.beta1, state.first[rows])
        return direction if state.second is None else direction / (state.second[rows].sqrt() + self.epsilon)

    def end_round(self, state: MimeState, server_lr: float, network: Network) -> Tensor:
        server, here = super().end_round(state, server_lr, network), self.keepers(network)
        c = state.common[here]
        state.first[here] = add_scaled((1 - self.beta1) * c, self.beta1, state.first[here])
        if state.second is not None and self.beta2 is not None:
            state.second[here] = add_scaled((1 - self.beta2) * (c * c), self.beta2, state.second[here])
        return server

    def begin_round(self, state: MimeState, server: Tensor, network: Network) -> None:
        super().begin_round(state, server, network)
        self.send_down(state, state.first, network, "first moment")
        if state.second is not None:
            self.send_down(state, state.second, network, "second moment")

    def _share_gradients(self, state: MimeState, sample: Sample, network: Network) -> None:
        """c_k up, and c down, of the clients of the round."""
        rows = as_rows(local_rows(state.clients, network))
        sent = self.sent_up(state, sample.of(rows), network, "gradient")
        state.own[rows] = dense(sent)
        state.common[self.keepers(network)] = self.mean_of(sent, state.clients, state.votes, network)
        if not self.lite:
            self.send_down(state, state.common, network, "gradient")
