"""FedMom: FedAvg with Nesterov's momentum at the server.

Huo, Yang, Gu, Carin, Huang, "Faster On-Device Training Using New Federated Momentum Algorithm", 2020, arXiv 2002.02090;
released code slowbull/leaf.

    g  = sum_k p_k (w - u_k)           u_k: client k's parameters after `local_steps` iterations from w
    v+ = w - server_lr g               v = w at the start
    w <- v+ + momentum (v+ - v)

As in the paper, p_k is client k's share of the data of all clients (weighting "all"): of M out of K equal clients,
server_lr = 1 lets the absent ones vote for w, K / M makes g the usual average. The model is w, the extrapolated point.

With a constant server_lr the iterates are those of torch.optim.SGD(nesterov=True) fed with g; FedAvgM (Hsu, Qi, Brown,
arXiv 1909.06335), which is heavy ball, is a different method. Here momentum is of differences of v, so after a change
of server_lr it carries the old one on. The released code starts v from 0, weighs all sampled clients equally and leaves
out the local learning rate; this is the paper's form.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.blocks.momentum import check_momentum
from algorithms.federated.federated import Federated
from algorithms.federated.sampling import Weighting
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.state import State


@dataclass(frozen=True)
class FedMom(Federated):
    """Federated averaging with momentum; for the other options see `Federated`.

    Args:
        momentum: In [0, 1).
    """

    weighting: Weighting = "all"
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self, self.momentum)

    def start(self, x: Tensor, network: Network) -> State:
        state = super().start(x, network)
        state.descended = state.server.clone()  # v
        return state

    def end_round(self, state: State, server_lr: float, network: Network) -> None:
        g = self.pseudo_gradient(state, network)
        v = add_scaled(state.server, -server_lr, g)
        state.server = add_scaled(v, self.momentum, v - state.descended)
        state.descended = v
