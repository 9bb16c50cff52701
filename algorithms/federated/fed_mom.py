"""FedMom: FedAvg with Nesterov's momentum at the server."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.blocks.momentum import check_momentum
from algorithms.federated.federated import Federated, FederatedState
from algorithms.federated.sampling import Weighting
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled


@dataclass
class FedMomState(FederatedState):
    """The state of `FedMom`.

    Attributes:
        descended: (k, d), v, at the nodes that keep the server.
    """

    descended: Tensor


@dataclass(frozen=True)
class FedMom(Federated[FedMomState]):
    """Federated averaging with momentum; for rounds, what is sent, and the other options see `Federated`.

        g  = sum_k p_k (w - u_k)           u_k: client k's parameters after `local_steps` iterations from w
        v+ = w - server_lr g               v = w at the start
        w <- v+ + momentum (v+ - v)

    As in the paper, p_k is client k's share of the data of all clients (weighting "all"): of M out of K equal clients,
    server_lr = 1 lets the absent ones vote for w, K / M makes g the usual average. The model is w, the extrapolated
    point.

    With a constant server_lr the iterates are those of torch.optim.SGD(nesterov=True) fed with g; FedAvgM (Hsu, Qi,
    Brown, arXiv 1909.06335), which is heavy ball, is a different method. Here momentum is of differences of v, so after
    a change of server_lr it carries the old one on. The released code starts v from 0, weighs all sampled clients
    equally and leaves out the local learning rate; this is the paper's form.

    Huo, Yang, Gu, Carin, Huang, "Faster On-Device Training Using New Federated Momentum Algorithm", 2020,
    arXiv 2002.02090; released code slowbull/leaf.

    Args:
        momentum: In [0, 1).
    """

    weighting: Weighting = "all"
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self, self.momentum)

    def first_state(self, server: Tensor) -> FedMomState:
        return FedMomState(**vars(super().first_state(server)), descended=server.clone())

    def moved(self, state: FedMomState, gradient: Tensor, lr: float, network: Network) -> Tensor:
        here = self.keepers(network)
        v = add_scaled(state.server[here], -lr, gradient)
        extrapolated = add_scaled(v, self.momentum, v - state.descended[here])
        state.descended[here] = v
        return extrapolated
