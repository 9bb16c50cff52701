"""FedAvgM: FedAvg with heavy-ball momentum at the server."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.blocks.momentum import check_momentum
from algorithms.federated.federated import Federated, FederatedState
from algorithms.optimizers import SGD, LocalOptimizer


@dataclass(frozen=True)
class FedAvgM(Federated[FederatedState]):
    """Federated averaging with server momentum; for rounds, what is sent, and the other options see `Federated`.

        g = sum_k p_k (w - u_k)            u_k: client k's parameters after `local_steps` iterations from w
        v <- momentum v + g                v = 0 at the start
        w <- w - server_lr v               or, with nesterov, w - server_lr (g + momentum v)

    The steps of w are those of torch.optim.SGD fed with g. `FedMom` has momentum of differences of points instead, and
    other weights of the clients.

    Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
    2019, arXiv 1909.06335, where heavy ball is equation (2); Nesterov's variant is that of the experiments.

    Args:
        momentum: In [0, 1); 0 is FedAvg.
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self, self.momentum, self.nesterov)

    @property
    def server_rule(self) -> LocalOptimizer:
        return SGD(momentum=self.momentum, nesterov=self.nesterov)
