"""CoCoD-SGD: local SGD whose averages travel during the next local steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.network import Network, Posted
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate


@dataclass
class CocodState(LocalState):
    """The state of CoCoD-SGD.

    Attributes:
        sent: s, (k, d), the models whose average travels; None before the first averaging.
    """

    sent: Posted[Tensor] | None = None


@dataclass(frozen=True)
class CocodSGD(LocalUpdates[CocodState]):
    """CoCoD-SGD: local SGD whose averages travel during the next local steps.

    Shen, Yu, Zhang, Wang, Cheng, "Faster Distributed Deep Net Training: Computation and Communication Decoupled
    Stochastic Gradient Descent", IJCAI 2019, arXiv 1906.12043.

        every iteration    x_i <- x_i - lr v_i(x_i),   v_i the gradient, or by another local optimizer
        every tau-th       s_i = x_i, and the average of all s_j begins to travel
        tau later          x_i <- mean of all s_j + (x_i - s_i),   then s_i = x_i and so on

    Iteration t = 0, 1, ... communicates if tau divides t + 1. The paper's first average travels during the first tau
    steps; that is the average of the starting points, which are the same there, so nothing needs to be sent for it.
    Here the first one is sent after tau steps and used after 2 tau, also where the starting points differ.

    Sent: one dense vector up and one down a binary tree over the nodes, every tau iterations. W is not used. What the
    local optimizer remembers goes on through an averaging.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Local steps during which an average travels, tau >= 1, or a controller.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int | AdaComm = 8
    momentum: float = 0.0
    nesterov: bool = False
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()

    def start(self, x: Tensor, network: Network) -> CocodState:
        return CocodState(x.clone(), *self.start_updates(x))

    def step(self, state: CocodState, sample: Sample, network: Network) -> None:
        state.x = self.updated(state, sample, network)
        if self.ends_period(state, sample, network):
            if state.sent is not None:
                state.x = network.mean(state.sent) + (state.x - state.sent.value)
            state.sent = network.post_mean(state.x.clone())
