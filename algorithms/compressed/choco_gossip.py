"""CHOCO-Gossip: consensus on the average, with arbitrary compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.gamma import Gamma, check_gamma
from algorithms.blocks.replica import Replicas
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.state import State


@dataclass
class ChocoGossipState(State):
    """What CHOCO-Gossip carries on.

    Attributes:
        replicas: The public copies of the vectors.
        gamma: The consensus step size.
    """

    replicas: Replicas
    gamma: Gamma


@dataclass(frozen=True)
class ChocoGossip(Algorithm[ChocoGossipState]):
    """CHOCO-Gossip: consensus on the average, with arbitrary compression.

    Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed
    Communication", ICML 2019, arXiv 1902.00340, Algorithm 1.

    Every node keeps a public copy h_i of its vector that its neighbours know too:

        q = C(x - h);  h+ = h + q;  x+ = x + gamma (W - I) h+

    The average of all x never changes, and for a gamma that is small enough all converge to it linearly. Gradients are
    not used. The public copies start at 0 and are kept in the memory-efficient form (`algorithms.blocks.replica`), on a
    W that is the same in all rounds or repeats with a period.

    Sent: one compressed vector to each out-neighbour, per round; with gamma = "auto" also some hundred in the first
    round, by the search.

    Args:
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; or "auto", the best one of a short
            measured search at the start; or "theory", the one that is guaranteed to work, 100 to 1000 times smaller.
            Where W varies with time it must be a number.
        compressor: The compression operator C, a contraction.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    gamma: float | Literal["theory", "auto"] = "auto"
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_gamma(self, self.gamma)

    def start(self, x: Tensor, network: Network) -> ChocoGossipState:
        check_contraction(self, self.compressor, x.shape[1])
        replicas = Replicas.start(self, x, network, self.compressor)
        return ChocoGossipState(x.clone(), replicas, Gamma.start(self, x, network))

    def step(self, state: ChocoGossipState, sample: Sample, network: Network) -> None:
        replica = state.replicas.current(network)
        replica.publish(state.x, self.compressor, network)
        replica.hear(network)
        state.x = add_scaled(state.x, state.gamma.value, replica.disagreement())

    def chosen(self, state: ChocoGossipState) -> dict[str, Any]:
        return state.gamma.chosen()
