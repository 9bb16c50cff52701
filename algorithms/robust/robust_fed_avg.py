"""Federated averaging with a robust aggregate in the place of the mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.blocks.server import among, local_rows
from algorithms.checks import check
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network
from algorithms.robust.aggregators import Aggregator, CoordinateMedian
from algorithms.robust.at_server import aggregated, memory_of
from algorithms.state import as_rows


@dataclass
class RobustFedAvgState(FederatedState):
    """The state of `RobustFedAvg`.

    Attributes:
        aggregate: (k, d), the last one, at the nodes that keep the server; 0 at the start.
        memory: What the rule remembers of all clients, see `memory_of`.
    """

    past: ClassVar[tuple[str, ...]] = ("client_memory", "aggregate")

    aggregate: Tensor
    memory: list[Tensor] | None


@dataclass(frozen=True)
class RobustFedAvg(Federated[RobustFedAvgState]):
    """Federated averaging in which the server takes a robust aggregate of the clients' updates, some of them forged.

        g = the aggregate of w - u_k over the clients k of the round
        w <- w - server_lr g

    For rounds, and the other options, see `Federated`. All clients count alike, as rules know nothing of weights. With
    `GeometricMedian` it is RFA (Pillutla, Kakade, Harchaoui, arXiv 1912.13445), with `NormBound` what Sun, Kairouz,
    Suresh, McMahan, arXiv 1911.07963, do against backdoors, with `FoolsGold` the method of that name; with `Mean` it is
    `FedAvg`, to rounding. Many local iterations on data that differ make honest updates differ, too, and the fewer
    clients take part, the more often attackers are the majority of a round.

    Sent: as by `FedAvg`; with a replicated server the update of each client that takes part, to all others.

    Args:
        aggregator: The rule. It must have enough rows in every round.
    """

    aggregator: Aggregator = field(default_factory=CoordinateMedian, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.sampling == "uniform", self, "sampling", "uniform, by which as many take part in every round")
        check(self.weighting == "sampled", self, "weighting", "sampled, as rules of aggregation know no weights")
        check(self.weights == "equal", self, "weights", "equal, as rules of aggregation know no weights")
        self.check_even("as many clients must deliver in every round, for a rule to have rows enough")

    def start(self, x: Tensor, network: Network) -> RobustFedAvgState:
        self.aggregator.check_rows(self.taking_part(network))
        state = super().start(x, network)
        state.memory = memory_of(self.aggregator, x, network, self.server)
        return state

    def first_state(self, server: Tensor) -> RobustFedAvgState:
        return RobustFedAvgState(**vars(super().first_state(server)), aggregate=torch.zeros_like(server), memory=None)

    def end_round(self, state: RobustFedAvgState, server_lr: float, network: Network) -> Tensor:
        rows = as_rows(local_rows(state.clients, network))
        sent = among(self.sent_up(state, self.travelled(state, network), network), rows, len(network.nodes))
        aggregate = aggregated(self.aggregator, sent, state.clients, state, network, server=self.server)
        return self.moved(state, aggregate, server_lr, network)
