"""Push-sum: the average of what the nodes hold, on directed graphs, without gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.push_sum import PushSum
from algorithms.network import Network
from algorithms.state import State


@dataclass
class PushSumState(State):
    """The state of push-sum averaging.

    Attributes:
        push_sum: Numerators and weights, whose ratio is x.
    """

    push_sum: PushSum


@dataclass(frozen=True)
class PushSumAveraging(Algorithm[PushSumState]):
    """Push-sum: the average of what the nodes hold, on directed graphs, without gradients.

    Kempe, Dobra, Gehrke, "Gossip-based computation of aggregate information", FOCS 2003; for any sequence of column
    stochastic matrices Benezit, Blondel, Thiran, Tsitsiklis, Vetterli, "Weighted gossip: distributed averaging using
    non-doubly stochastic matrices", ISIT 2010.

    With P_t the mixing matrix of round t, whose columns sum to 1, n_i the numerator (at first x_i) and w_i the weight
    of node i (at first 1):

        n_i <- sum_j p_ij n_j        w_i <- sum_j p_ij w_j        x_i = n_i / w_i

    Both sums over the nodes are kept, so that all x_i approach the exact average. Each node needs to know no more than
    how many others it sends to. Where the rows sum to 1 as well, all weights stay 1 and this is gossip averaging.

    Sent: one dense vector and one number to each out-neighbour, per round, in two messages.
    """

    needs: ClassVar[tuple[str, ...]] = ("column_stochastic",)

    def start(self, x: Tensor, network: Network) -> PushSumState:
        return PushSumState(x.clone(), PushSum.start(x))

    def step(self, state: PushSumState, sample: Sample, network: Network) -> None:
        state.x = state.push_sum.push(state.push_sum.numerator, network)

    def survive(self, state: PushSumState, network: Network) -> PushSumState:
        return state

    def mass(self, state: PushSumState) -> Tensor:
        return state.push_sum.weight
