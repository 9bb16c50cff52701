"""Thresholds of event triggers as functions of the iteration t = 0, 1, 2, ..."""

from __future__ import annotations

import math
from dataclasses import dataclass

from algorithms.checks import check


@dataclass(frozen=True)
class EventThreshold:
    """A schedule of thresholds: called with the iteration t, gives c_t. See `algorithms.blocks.trigger.Trigger`."""

    def __call__(self, t: int) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class StepwiseThreshold(EventThreshold):
    """c_t = start + step * floor(min(t, until) / every).

    Args:
        start: c_0, >= 0.
        step: Added from time to time, >= 0.
        every: Iterations from one addition to the next, >= 1.
        until: The iteration after which it stays as it is, >= 0; None to grow without end.
    """

    start: float = 0.0
    step: float = 1.0
    every: int = 1000
    until: int | None = None

    def __post_init__(self) -> None:
        check(0 <= self.start < math.inf, self, "start", ">= 0")
        check(0 <= self.step < math.inf, self, "step", ">= 0")
        check(self.every >= 1, self, "every", ">= 1")
        check(self.until is None or self.until >= 0, self, "until", ">= 0, or None")

    def __call__(self, t: int) -> float:
        grown = t if self.until is None else min(t, self.until)
        return self.start + self.step * (grown // self.every)


def event_threshold(threshold: float | EventThreshold, t: int) -> float:
    """The threshold of iteration t, for a number or a schedule."""
    return threshold(t) if isinstance(threshold, EventThreshold) else threshold


def check_threshold(owner: object, threshold: float | EventThreshold) -> None:
    """Refuse a threshold that is neither a schedule nor a number >= 0; infinity, with which no node sends, is one."""
    valid = isinstance(threshold, EventThreshold) or (isinstance(threshold, int | float) and threshold >= 0)
    check(valid, owner, "threshold", ">= 0, or a schedule such as StepwiseThreshold(start=2.5, step=1.5)")
