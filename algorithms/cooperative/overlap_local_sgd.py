"""Overlap Local-SGD: an anchor that all nodes share, whose next value travels during the local steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.blocks.outer import Outer
from algorithms.checks import check
from algorithms.network import Network, Posted
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate


@dataclass(kw_only=True)
class OverlapState(LocalState):
    """The state of Overlap Local-SGD.

    Attributes:
        outer: The anchor z, with equal rows, and the momentum v of each local node's contribution to it.
        sent: (k, d), what the nodes contribute to the next anchor, which is the average of it; None before the first
            averaging.
    """

    outer: Outer
    sent: Posted[Tensor] | None = None


@dataclass(frozen=True)
class OverlapLocalSGD(LocalUpdates[OverlapState]):
    """Overlap Local-SGD: an anchor that all nodes share, whose next value travels during the local steps.

    Wang, Liang, Joshi, "Overlap Local-SGD: An Algorithmic Approach to Hide Communication Delays in Distributed SGD",
    ICASSP 2020, arXiv 2002.09539.

    With z the anchor, the same on all nodes, and d_i the gradient, or by another local optimizer,

        every iteration    x_i <- x_i - lr d_i(x_i)
        every tau-th       x_i <- (1 - alpha) x_i + alpha z
                           v_i <- beta v_i - (x_i - z) / lr;   z <- mean of all z - lr v_j, which begins to travel

    so the anchor that pulls is one period old: the new one is needed only tau iterations later. With beta = 0 that is z
    <- mean of all x_j, and a communication conserves (1 - alpha) mean x + alpha z. The pull with alpha = 1 would undo
    all progress, and with 0 no node would hear of the others.

    lr in the last line is that of the last iteration: v, in the units of a gradient, stays as it is where the learning
    rate changes, as in the authors' code. The first averaging in the code comes after tau + 1 iterations, as a counter
    is tested before it counts; here after tau. What the local optimizer remembers is not changed by the pull, as in the
    code. The anchor starts at the average of the starting points. Where lr is 0, or too small to divide by, v stays as
    it is and z becomes the mean of all x_j.

    Sent: one dense vector up and one down a binary tree over the nodes, every tau iterations. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Local steps from one pull to the next, tau >= 1, or a controller.
        alpha: How far the anchor pulls, in (0, 1).
        beta: Momentum of the anchor, in [0, 1).
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int | AdaComm = 2
    alpha: float = 0.6
    beta: float = 0.7
    momentum: float = 0.0
    nesterov: bool = False
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()
        check(0 < self.alpha < 1, self, "alpha", "in (0, 1)")
        check(0 <= self.beta < 1, self, "beta", "in [0, 1)")

    @property
    def _outer_rule(self) -> SGD:
        """What moves the anchor."""
        return SGD(self.beta)

    def start(self, x: Tensor, network: Network) -> OverlapState:
        anchor = network.mean(x).repeat(len(x), 1)
        return OverlapState(x.clone(), *self.start_updates(x), outer=Outer.start(anchor, self._outer_rule))

    def step(self, state: OverlapState, sample: Sample, network: Network) -> None:
        lr = self.rate(state)
        state.x = self.updated(state, sample, network)
        if self.ends_period(state, sample, network):
            if state.sent is not None:
                state.outer.anchor = network.mean(state.sent).repeat(len(state.x), 1)
            state.x = (1 - self.alpha) * state.x + self.alpha * state.outer.anchor
            state.sent = network.post_mean(self._contribution(state, lr))

    def _contribution(self, state: OverlapState, lr: float) -> Tensor:
        """The next anchor is the mean of these, (k, d)."""
        return state.outer.moved(self._outer_rule, state.x, lr) if self.beta else state.x.clone()
