"""FedNova: FedAvg that does not favour the clients that make more local steps.

Wang, Liu, Liang, Joshi, Poor, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization",
NeurIPS 2020, arXiv 2007.07481.

With u_k client k's parameters after its tau_k local iterations from w (`client_steps`):

    d_k = (w - u_k) / tau_k
    w <- w - server_lr (sum_k p_k tau_k) sum_k p_k d_k

where FedAvg has sum_k p_k (w - u_k), which weighs the clients by p_k tau_k. This is the method for clients that use SGD
without momentum, where a client's gradients count alike. If all make as many steps it is FedAvg.

Sent in a round: one number more than in FedAvg.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from algorithms.checks import check
from algorithms.federated.federated import Federated, absent, weighted_mean
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD
from algorithms.state import State


@dataclass(frozen=True)
class FedNova(Federated):
    """Normalised averaging; for its options see `Federated`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = isinstance(self.optimizer, SGD) and not self.optimizer.momentum
        check(plain, self, "optimizer", "SGD without momentum")

    def end_round(self, state: State, server_lr: float, network: Network) -> None:
        steps = self.steps_of(network)
        moved = state.server - state.x
        for row in absent(state):
            moved[row] = 0
        counts = [count / own for count, own in zip(state.counts, steps, strict=True)]
        direction = weighted_mean(moved, counts, network)
        taken = torch.tensor(steps, dtype=state.x.dtype, device=state.x.device)[:, None]
        effective = float(weighted_mean(taken, state.counts, network)[0])
        state.server = add_scaled(state.server, -server_lr * effective, direction)
