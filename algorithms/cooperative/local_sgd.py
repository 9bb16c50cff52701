"""Local SGD: local steps, and exact averages from time to time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.blocks.outer import Outer
from algorithms.checks import check, positive
from algorithms.network import Network
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate


@dataclass
class LocalSGDState(LocalState):
    """The state of local SGD.

    Attributes:
        outer: Where the last averaging left all nodes, with equal rows, and the slow momentum u; None without one.
    """

    outer: Outer | None = None


@dataclass(frozen=True)
class LocalSGD(LocalUpdates[LocalSGDState]):
    """Local SGD: local steps, and exact averages from time to time; with post-local SGD and SlowMo.

    Periodic averaging (PASGD), A(tau, J, 0) of Cooperative SGD: Wang & Joshi, JMLR 22(213), 2021, arXiv 1808.07576;
    Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019, arXiv 1805.09767. Post-local SGD: Lin, Stich,
    Patel, Jaggi, "Don't Use Large Mini-Batches, Use Local SGD", ICLR 2020, arXiv 1808.07217. SlowMo: Wang, Tantia,
    Ballas, Rabbat, "SlowMo: Improving Communication-Efficient Distributed SGD with Slow Momentum", ICLR 2020, arXiv
    1910.00643, which with slow_lr 1 is block-wise model update filtering (BMUF), Chen & Huo, ICASSP 2016. Averages
    every iteration are fully synchronous SGD.

        every iteration    x_i <- x_i - lr v_i(x_i),   v_i the gradient, or by another local optimizer
        every tau-th       x_i <- mean of all x_j

    In place of the mean, with slow momentum, u = 0 at the start and z where the last averaging left all nodes (at the
    start the mean of their models):

        u <- slow_momentum u + (z - mean of all x_j) / lr;   z <- z - slow_lr lr u;   x_i <- z

    lr there is that of the last iteration. Dividing by it lets u stay valid where the learning rate changes, as in the
    paper; BMUF keeps the product, which is the same where it does not change. Where lr is 0, or too small to divide by,
    u stays as it is and z goes to z - slow_lr (z - mean of all x_j).

    Iteration t = 0, 1, ... averages if tau divides t + 1. In post-local SGD every iteration before `switch` averages,
    and from there on those where tau divides t + 1 - switch.

    Sent: one dense vector up and one down a binary tree over the nodes, every tau iterations. W is not used. What the
    local optimizer remembers is not averaged; it goes on through an averaging, or starts anew there with
    `reset_momentum`.

    Two nodes make two local steps, towards the points where |x|^2 / 2 and |x - 4|^2 / 2 are least, and average:

        >>> network = MatrixNetwork([[1.0, 0.0], [0.0, 1.0]])
        >>> algorithm, centres = LocalSGD(lr=0.5, period=2), torch.tensor([[0.0], [4.0]])
        >>> state = algorithm.start(torch.tensor([[8.0], [8.0]]), network)
        >>> for _ in range(2):
        ...     algorithm.advance(state, Sample(state.x - centres, torch.zeros(2)), network)
        ...     print(algorithm.model(state).tolist())
        [[4.0], [6.0]]
        [[3.5], [3.5]]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations from one averaging to the next, tau >= 1, or a controller.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        reset_momentum: Start the local momentum, or optimizer, anew at each averaging; needs one.
        switch: Iterations at the start that all average, >= 0: post-local SGD.
        slow_momentum: Momentum of the averages, in [0, 1).
        slow_lr: Multiplies what an averaging changes, > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int | AdaComm = 8
    momentum: float = 0.0
    nesterov: bool = False
    reset_momentum: bool = False
    switch: int = 0
    slow_momentum: float = 0.0
    slow_lr: float = 1.0
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()
        remembers = self.momentum > 0 or self.optimizer is not None
        check(not self.reset_momentum or remembers, self, "reset_momentum", "false where momentum is 0")
        check(self.switch >= 0, self, "switch", ">= 0")
        check(0 <= self.slow_momentum < 1, self, "slow_momentum", "in [0, 1)")
        check(positive(self.slow_lr), self, "slow_lr", "> 0")

    def start(self, x: Tensor, network: Network) -> LocalSGDState:
        state = LocalSGDState(x.clone(), *self.start_updates(x))
        if self.slow_momentum > 0 or self.slow_lr != 1:
            state.outer = Outer.start(network.mean(x).repeat(len(x), 1), self._outer_rule)
        return state

    def step(self, state: LocalSGDState, sample: Sample, network: Network) -> None:
        lr = self.rate(state)
        state.x = self.updated(state, sample, network)
        if state.step < self.switch or self.ends_period(state, sample, network, late=self.switch):
            self._average(state, lr, network)

    def _average(self, state: LocalSGDState, lr: float, network: Network) -> None:
        mean = network.mean(state.x).repeat(len(state.x), 1)
        if state.outer is None:
            state.x = mean
        else:
            state.outer.anchor = state.outer.moved(self._outer_rule, mean, lr, self.slow_lr)
            state.x = state.outer.anchor.clone()
        if self.reset_momentum:
            state.memory = self.rule.start(state.x)

    @property
    def _outer_rule(self) -> SGD:
        """What makes slow steps."""
        return SGD(self.slow_momentum)


def fully_synchronous_sgd(lr: float | LearningRate, **options: Any) -> LocalSGD:
    """A(1, J, 0): all nodes take the same steps, along the average of their directions."""
    return LocalSGD(lr, period=1, **options)


def periodic_averaging_sgd(lr: float | LearningRate, period: int, **options: Any) -> LocalSGD:
    """A(tau, J, 0)."""
    return LocalSGD(lr, period, **options)


def adacomm_sgd(
    lr: float | LearningRate,
    start: int = 20,
    interval: float = 60.0,
    momentum: float = 0.9,
    block_momentum: float = 0.3,
    **options: Any,
) -> LocalSGD:
    """Local SGD with periods by AdaComm and its block momentum: a slow one, beside a local one that starts anew.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        start: Period at the start.
        interval: Seconds from one change of it to the next.
        momentum: Of the local steps.
        block_momentum: Of the averages.
        options: Others of `AdaComm`.
    """
    period = AdaComm(start, interval, **options)
    return LocalSGD(lr, period, momentum=momentum, reset_momentum=momentum > 0, slow_momentum=block_momentum)
