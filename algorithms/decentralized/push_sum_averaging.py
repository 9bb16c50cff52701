"""Push-sum: the average of what the nodes hold, on directed graphs, without gradients.

Kempe, Dobra, Gehrke, "Gossip-based computation of aggregate information", FOCS 2003; for any sequence of column
stochastic matrices Benezit, Blondel, Thiran, Tsitsiklis, Vetterli, "Weighted gossip: distributed averaging using
non-doubly stochastic matrices", ISIT 2010.

With P_t the mixing matrix of round t, whose columns sum to 1, n_i the numerator (at first x_i) and w_i the weight of
node i (at first 1):

    n_i <- sum_j p_ij n_j        w_i <- sum_j p_ij w_j        x_i = n_i / w_i

Both sums over the nodes are kept, so that all x_i approach the exact average. Each node needs to know no more than how
many others it sends to. Where the rows sum to 1 as well, all weights stay 1 and this is gossip averaging.

Sent: one dense vector and one number to each out-neighbour, per round, in two messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.network import Network
from algorithms.state import LooseState, State


@dataclass(frozen=True)
class PushSumAveraging(Algorithm):
    """Push-sum averaging; the gradients are not used."""

    needs: ClassVar[tuple[str, ...]] = ("column_stochastic",)
    mass: ClassVar[str | None] = "weight"

    def survive(self, state: State, network: Network) -> State:
        return state

    def start(self, x: Tensor, network: Network) -> State:
        return start_push_sum(x)

    def step(self, state: State, sample: Sample, network: Network) -> None:
        push_sum(state, state.numerator, network)


def start_push_sum(x: Tensor) -> State:
    """The state of a push-sum method: `x` (k, d), its `numerator` (k, d) and its `weight` (k, 1)."""
    return LooseState(x=x.clone(), numerator=x.clone(), weight=x.new_ones(len(x), 1), step=0)


def push_sum(state: State, numerator: Tensor, network: Network) -> None:
    """Split numerators and weights among the out-neighbours, add up what arrives, divide.

    The weights have the precision of the numerators: where the entries of P, rounded to it, do not quite sum to 1,
    both are off by the same factor.
    """
    state.numerator = network.mix(numerator)
    state.weight = network.mix(state.weight)
    state.x = state.numerator / state.weight
