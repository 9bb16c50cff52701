"""Gossip-PGA: gossip with an exact global average every few steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.network import Network
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate


@dataclass(frozen=True)
class GossipPGA(LocalUpdates[LocalState]):
    """Gossip-PGA: gossip with an exact global average every few steps.

    Chen, Yuan, Zhang, Pan, Xu, Yin, "Accelerating Gossip SGD with Periodic Global Averaging", ICML 2021, arXiv
    2105.09080.

    With v_i the descent direction of node i (its gradient, or its local momentum), W_t the mixing matrix and H the
    period:

        y_i = x_i - lr v_i(x_i)
        x_i <- (1/n) sum_j y_j     in step t = 0, 1, ... if H divides t + 1
        x_i <- sum_j w_ij y_j      otherwise

    Sent: one dense vector to each out-neighbour in a step of gossip; in a global average what an all-reduce along a
    tree sends, a vector up and a vector down each of its edges. Period 1 is parallel SGD on the average gradient, a
    period without end is decentralized SGD, adapt-then-combine; W = I makes local SGD of it.

    Momentum is local and never communicated: v_i <- momentum v_i + g_i, applied as in torch.optim.SGD. With another
    local optimizer, its move c y of the parameters takes the place of -lr v.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Steps from one global average to the next, >= 1 (the paper's H), or a controller.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    lr: float | LearningRate = 0.1
    period: int | AdaComm = 6
    momentum: float = 0.0
    nesterov: bool = False
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()

    def start(self, x: Tensor, network: Network) -> LocalState:
        return LocalState(x.clone(), *self.start_updates(x))

    def step(self, state: LocalState, sample: Sample, network: Network) -> None:
        x = state.x
        y = self.updated(state, sample, network, out=network.empty(x.shape[1], x.dtype, x.device))
        if self.ends_period(state, sample, network):
            state.x = network.mean(y).expand_as(y).clone()
        else:
            state.x = network.mix(y)
