"""Periods of local steps from one exchange to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.network import Network
from algorithms.state import Block


@dataclass
class PeriodState(Block):
    """Where an algorithm stands in its periods.

    Attributes:
        length: Iterations from the last exchange to the next.
    """

    length: int


P = TypeVar("P", bound=PeriodState)


@dataclass(frozen=True)
class Period(Generic[P]):
    """When an algorithm exchanges: at the end of each period of iterations, the length of which may change.

    `ends` is to be called once in each iteration; what the period remembers is in a state of type P.
    """

    @property
    def least(self) -> int:
        """The shortest that a period may become."""
        raise NotImplementedError

    def begin(self, x: Tensor) -> P:
        """The state before the first iteration, for models like x (k, d)."""
        raise NotImplementedError

    def ends(self, state: P, step: int, sample: Sample, lr: float, network: Network) -> bool:
        """Whether a period ends with this iteration. Collective.

        Args:
            state: Where the algorithm stands in its periods.
            step: The number of the iteration, from 0 on.
            sample: What the nodes saw in it.
            lr: Its learning rate.
            network: Where losses are averaged and the time is asked for, if the period depends on them.
        """
        raise NotImplementedError

    def foreseen(self, step: int) -> bool:
        """Whether it is known before an iteration that a period ends with it."""
        return False

    def rate(self, state: P, lr: float) -> float:
        """The learning rate to use in this iteration, where this one is scheduled."""
        return lr

    def current(self, state: P) -> int:
        """How many iterations there are from the last exchange to the next."""
        return state.length

    def report(self, state: P) -> dict[str, Tensor]:
        """The length of the period, (k,) of the local nodes, if it may change, for a run's records."""
        return {}


@dataclass(frozen=True)
class Every(Period[PeriodState]):
    """Periods that all have the same length n: iteration t = 0, 1, ... exchanges if n divides t + 1.

    This is the convention of Cooperative SGD (Wang & Joshi, arXiv 1808.07576). An integer may stand for it wherever a
    period is a hyper-parameter.

    Args:
        iterations: n >= 1.
    """

    iterations: int = 1

    def __post_init__(self) -> None:
        check(self.iterations >= 1, self, "iterations", ">= 1")

    @property
    def least(self) -> int:
        return self.iterations

    def begin(self, x: Tensor) -> PeriodState:
        return PeriodState(self.iterations)

    def ends(self, state: PeriodState, step: int, sample: Sample, lr: float, network: Network) -> bool:
        return self.foreseen(step)

    def foreseen(self, step: int) -> bool:
        return (step + 1) % self.iterations == 0


def as_period(period: int | Period) -> Period:
    """What a hyper-parameter means that is the length of all periods, or a controller of it."""
    return period if isinstance(period, Period) else Every(period)


def check_period(owner: object, period: int | Period) -> None:
    """Refuse a period below 1."""
    check(isinstance(period, Period) or period >= 1, owner, "period", ">= 1, or a controller of it")
