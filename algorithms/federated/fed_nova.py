"""FedNova: FedAvg that does not favour the clients that make more local steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.numerics.tree_sum import tree_sum
from algorithms.optimizers import SGD


@dataclass(frozen=True)
class FedNova(Federated[FederatedState]):
    """Normalised averaging; for rounds, what is sent, and the options see `Federated`.

    With u_k client k's parameters after its tau_k local iterations from w (`client_steps`, `delivery`):

        d_k = (w - u_k) / tau_k
        w <- w - server_lr (sum_k p_k tau_k) sum_k p_k d_k

    where FedAvg has sum_k p_k (w - u_k), which weighs the clients by p_k tau_k. This is the method for clients that use
    SGD without momentum, where a client's gradients count alike. If all make as many steps it is FedAvg.

    Wang, Liu, Liang, Joshi, Poor, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization", NeurIPS 2020, arXiv 2007.07481.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = isinstance(self.optimizer, SGD) and not self.optimizer.momentum
        check(plain, self, "optimizer", "SGD without momentum")

    def end_round(self, state: FederatedState, server_lr: float, network: Network) -> Tensor:
        steps = self.steps_made(state, network)
        votes = [vote / own for vote, own in zip(state.votes, steps, strict=True)]
        sent = self.sent_up(state, self.travelled(state, network), network)
        direction = self.mean_of(sent, state.clients, votes, network)
        return self.moved(state, direction, server_lr * self._effective_steps(state, steps, network), network)

    def _effective_steps(self, state: FederatedState, steps: Sequence[int], network: Network) -> float:
        """sum_k p_k tau_k, in the precision of the parameters."""
        weighted = {
            client: torch.tensor([own], dtype=state.x.dtype) * vote
            for client, vote, own in zip(state.clients, state.votes, steps, strict=True)
        }
        clients = self.clients(network)
        return float(tree_sum(weighted, clients) / clients) if weighted else 0.0
