"""Learning-rate schedules: functions of the iteration t = 0, 1, 2, ...

Every algorithm's `lr` is a number or one of these:

    DecentralizedSGD(lr=WarmUp(steps=100, then=Cosine(lr=0.1, steps=2000)))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from algorithms.checks import check, positive


@dataclass(frozen=True)
class LearningRate:
    """A schedule: called with the iteration t, gives the learning rate of that iteration."""

    def __call__(self, t: int) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(LearningRate):
    """The same learning rate throughout.

    Args:
        lr: The learning rate, > 0.
    """

    lr: float = 0.1

    def __post_init__(self) -> None:
        check(positive(self.lr), self, "lr", "> 0")

    def __call__(self, t: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Later(LearningRate):
    """Another schedule from a later iteration on.

    Args:
        then: The schedule.
        steps: How much later, >= 0.
    """

    then: LearningRate = field(default_factory=Constant)
    steps: int = 0

    def __post_init__(self) -> None:
        check(self.steps >= 0, self, "steps", ">= 0")
        check(isinstance(self.then, LearningRate), self, "then", "a schedule such as Constant(0.1)")

    def __call__(self, t: int) -> float:
        return self.then(t + self.steps)


@dataclass(frozen=True)
class StepDecay(LearningRate):
    """lr * factor^(number of milestones that t has reached).

    Args:
        lr: Learning rate at the start, > 0.
        milestones: Iterations at which it is multiplied by `factor`, increasing.
        factor: The multiplier, in (0, 1].
    """

    lr: float = 0.1
    milestones: tuple[int, ...] = ()
    factor: float = 0.1

    def __post_init__(self) -> None:
        check(positive(self.lr), self, "lr", "> 0")
        check(0 < self.factor <= 1, self, "factor", "in (0, 1]")
        check(list(self.milestones) == sorted(set(self.milestones)), self, "milestones", "increasing")

    def __call__(self, t: int) -> float:
        return self.lr * self.factor ** sum(t >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class Cosine(LearningRate):
    """Half a cosine from `lr` at t = 0 down to `end` at t = `steps`, then constant (Loshchilov & Hutter, 1608.03983).

    Args:
        lr: Learning rate at the start, > 0.
        steps: Iterations until `end` is reached, >= 1.
        end: Learning rate at the end, in [0, lr].
    """

    lr: float = 0.1
    steps: int = 1000
    end: float = 0.0

    def __post_init__(self) -> None:
        check(positive(self.lr), self, "lr", "> 0")
        check(self.steps >= 1, self, "steps", ">= 1")
        check(0 <= self.end <= self.lr, self, "end", "in [0, lr]")

    def __call__(self, t: int) -> float:
        progress = min(t / self.steps, 1.0)
        return self.end + (self.lr - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class InverseTime(LearningRate):
    """scale / (t + offset), the decreasing step of strongly convex theory.

    Args:
        scale: Numerator, > 0.
        offset: Added to t, > 0; the first learning rate is scale / offset.
    """

    scale: float = 1.0
    offset: float = 10.0

    def __post_init__(self) -> None:
        check(positive(self.scale), self, "scale", "> 0")
        check(positive(self.offset), self, "offset", "> 0")

    def __call__(self, t: int) -> float:
        return self.scale / (t + self.offset)


@dataclass(frozen=True)
class WarmUp(LearningRate):
    """A linear ramp over the first `steps` iterations in front of another schedule.

    Iteration t < steps uses (t + 1) / (steps + 1) of what `then` gives at its start; afterwards `then`
    runs from its own t = 0.

    Args:
        steps: Length of the ramp, >= 0.
        then: The schedule that follows.
    """

    steps: int = 100
    then: LearningRate = field(default_factory=Constant)

    def __post_init__(self) -> None:
        check(self.steps >= 0, self, "steps", ">= 0")
        check(isinstance(self.then, LearningRate), self, "then", "a schedule such as Constant(0.1)")

    def __call__(self, t: int) -> float:
        if t < self.steps:
            return self.then(0) * (t + 1) / (self.steps + 1)
        return self.then(t - self.steps)


def learning_rate(lr: float | LearningRate, t: int) -> float:
    """The learning rate of iteration t, for a number or a schedule."""
    return lr(t) if isinstance(lr, LearningRate) else lr


def check_learning_rate(owner: object, lr: float | LearningRate) -> None:
    """Refuse a learning rate that is neither a schedule nor a positive number."""
    valid = isinstance(lr, LearningRate) or (isinstance(lr, int | float) and positive(lr))
    check(valid, owner, "lr", "> 0, or a schedule such as Cosine(lr=0.1, steps=1000)")


def vanishes(lr: float, dtype: torch.dtype) -> bool:
    """Whether a learning rate is 0, or so small that numbers of this type may overflow where they are divided by it.

    Methods that keep differences of models in units of gradients divide by it; where it vanishes they must do without.
    """
    return lr * lr < torch.finfo(dtype).tiny
