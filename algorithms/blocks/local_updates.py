"""Local updates: how a node of an algorithm moves by itself, between what it exchanges with others."""

from __future__ import annotations

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, check_momentum
from algorithms.blocks.period import Period, check_period, current_rate, ends_period, report_period, start_period
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate
from algorithms.state import State


class LocalUpdates(Algorithm):
    """An algorithm with periods of local steps by an update rule: its `optimizer`, or SGD with its `momentum`.

    An update takes x to x + c y with the rule's c and y, which are -lr and the gradient where the rule is plain SGD.
    What the rule remembers stays local. These are fields of the algorithm:
    """

    lr: float | LearningRate
    period: Period
    momentum: float
    nesterov: bool = False
    optimizer: LocalOptimizer | None

    @property
    def rule(self) -> LocalOptimizer:
        """The local update rule."""
        return self.optimizer or SGD(self.momentum, self.nesterov)

    @property
    def proportional(self) -> bool:
        return super().proportional and self.rule.proportional

    @property
    def takes_norms(self) -> bool:
        return self.rule.takes_norms

    def check_updates(self) -> None:
        """Refuse fields out of range."""
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)
        check_period(self, self.period)
        check(not (self.optimizer and self.momentum), self, "momentum", "0 beside an optimizer, which has its own")

    def start_updates(self, state: State) -> None:
        """Add what the rule and the period remember to a state that has `x`."""
        self.rule.start(state)
        start_period(state, self.period)

    def rate(self, state: State) -> float:
        """The learning rate of this iteration."""
        return current_rate(self.lr, self.period, state)

    def ends_period(self, state: State, sample: Sample, network: Network, t: int | None = None) -> bool:
        """Whether this iteration, the t-th, ends a period; to be called once in each."""
        return ends_period(self.period, state, sample, self.rate(state), network, t)

    def move(self, state: State, sample: Sample, network: Network) -> tuple[float, Tensor]:
        """c and y (k, d) of one update with gradients at `state.x`, of which nothing has changed yet."""
        rule = self.rule
        rule.observe(state, sample)
        return rule.update(state, sample.gradient, self.rate(state), network)

    def updated(self, state: State, sample: Sample, network: Network, out: Tensor | None = None) -> Tensor:
        """(k, d): the parameters after one update, in memory of their own or in `out`."""
        return add_scaled(state.x, *self.move(state, sample, network), out=out)

    def model(self, state: State) -> Tensor:
        return self.rule.model(state, state.x)

    def report(self, state: State) -> dict[str, Tensor]:
        return report_period(self.period, state)
