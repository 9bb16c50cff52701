"""Gossip averaging: consensus alone, without gradients."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.algorithm import Algorithm, Sample
from algorithms.network import Network
from algorithms.state import State


@dataclass(frozen=True)
class GossipAveraging(Algorithm[State]):
    """Gossip averaging: consensus alone, without gradients.

    Xiao & Boyd, "Fast linear iterations for distributed averaging", Systems & Control Letters 53(1), 2004; with a
    random pair of nodes in each round Boyd, Ghosh, Prabhakar, Shah, "Randomized gossip algorithms", IEEE Trans.
    Information Theory 52(6), 2006 (the topology `randomized_gossip`).

    With W_t the mixing matrix of round t:

        x_i <- sum_j w_ij x_j

    Sent: one dense vector to each out-neighbour, per round. On doubly stochastic matrices all nodes approach the
    average of what they started with. If only the rows sum to 1 they agree as well, on an average that weighs some
    nodes more.
    """

    def step(self, state: State, sample: Sample, network: Network) -> None:
        state.x = network.mix(state.x)
