"""CHOCO-Gossip: consensus on the average, with arbitrary compression.

Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed Communication",
ICML 2019, arXiv 1902.00340, Algorithm 1.

Every node keeps a public copy h_i of its vector that its neighbours know too:

    q = C(x - h);  h+ = h + q;  x+ = x + gamma (W - I) h+

The average of all x never changes, and for a gamma that is small enough all converge to it linearly. Gradients are not
used. The public copies start at 0 (`algorithms.blocks.replica`), on a W that is static or repeats with a period.

Sent: one compressed vector to each out-neighbour, per round.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.gamma import check_gamma, chosen_gamma, start_gamma
from algorithms.blocks.replica import consensus_step, hear, publish, start_replicas
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.state import LooseState, State


@dataclass(frozen=True)
class ChocoGossip(Algorithm):
    """CHOCO-Gossip.

    Args:
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; "theory" for the one that is guaranteed
            to work, "auto" for the best one of a short measured search.
        compressor: The compression operator C.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    gamma: float | Literal["theory", "auto"] = "theory"
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_gamma(self, self.gamma)

    def start(self, x: Tensor, network: Network) -> State:
        check_contraction(self, self.compressor, x.shape[1])
        state = LooseState(x=x.clone(), step=0)
        start_replicas(self, state, network)
        start_gamma(self, state, self.gamma, self.compressor, network)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        publish(state, state.x, self.compressor, network)
        hear(state, network)
        state.x = state.x + consensus_step(state, network)

    def chosen(self, state: State) -> dict[str, Any]:
        return chosen_gamma(state)
