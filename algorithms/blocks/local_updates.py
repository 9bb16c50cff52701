"""Local updates: how a node of an algorithm moves by itself, between what it exchanges with others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.momentum import check_momentum
from algorithms.blocks.period import Period, PeriodState, as_period, check_period
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class LocalState(State):
    """The state of a method of local updates.

    Attributes:
        memory: What the update rule remembers; it stays local.
        period: Where the method stands in its periods.
    """

    past: ClassVar[tuple[str, ...]] = ("memory",)

    memory: Block | None
    period: PeriodState


L = TypeVar("L", bound=LocalState)


class LocalUpdates(Algorithm[L]):
    """An algorithm with periods of local steps by an update rule: its `optimizer`, or SGD with its `momentum`.

    An update takes x to x + c y with the rule's c and y, which are -lr and the gradient where the rule is plain SGD.
    The algorithm has the fields lr, period, momentum and optimizer, and nesterov if its momentum may be Nesterov's.
    """

    if TYPE_CHECKING:  # the command line reads annotations with the names that the module of the algorithm imports
        lr: float | LearningRate
        period: int | AdaComm
        momentum: float
        optimizer: LocalOptimizer | None

    nesterov: bool = False

    @property
    def rule(self) -> LocalOptimizer:
        """The local update rule."""
        return self.optimizer or SGD(self.momentum, self.nesterov)

    @property
    def periods(self) -> Period:
        """What `period` means."""
        return as_period(self.period)

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

    def start_updates(self, x: Tensor) -> tuple[Block | None, PeriodState]:
        """What the rule and the period remember at the start, for models like x (k, d)."""
        return self.rule.start(x), self.periods.begin(x)

    def rate(self, state: L) -> float:
        """The learning rate of this iteration."""
        return self.periods.rate(state.period, learning_rate(self.lr, state.step))

    def ends_period(self, state: L, sample: Sample, network: Network, late: int = 0) -> bool:
        """Whether this iteration ends a period; to be called once in each.

        Args:
            late: The iteration with which the periods begin.
        """
        return self.periods.ends(state.period, state.step - late, sample, self.rate(state), network)

    def move(self, state: L, sample: Sample, network: Network) -> tuple[float, Tensor]:
        """c and y (k, d) of one update with gradients at `state.x`, of which nothing has changed yet."""
        rule = self.rule
        rule.observe(state.x, state.memory, sample, network)
        return rule.update(state.x, state.memory, sample.gradient, self.rate(state))

    def updated(self, state: L, sample: Sample, network: Network, out: Tensor | None = None) -> Tensor:
        """(k, d): the parameters after one update, in memory of their own or in `out`."""
        return add_scaled(state.x, *self.move(state, sample, network), out=out)

    def model(self, state: L) -> Tensor:
        return self.rule.model(state.x, state.memory)

    def report(self, state: L) -> dict[str, Tensor]:
        return self.periods.report(state.period)
