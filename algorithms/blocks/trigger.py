"""Event triggers: a node sends only where it has moved far enough from what the others know of it.

Singh, Data, George, Diggavi, "SPARQ-SGD: Event-Triggered and Compressed Communication in Decentralized Stochastic
Optimization", arXiv 1910.14280; "SQuARM-SGD", arXiv 2005.07041.

With x the model of a node, h the public copy that the others have of it, and c_t >= 0 the threshold:

    the node sends in iteration t if |x - h|^2 > c_t lr_t^2

The squared distance is compared with the square of the learning rate, so the threshold counts squared gradients.
What earlier messages have left out is part of the distance and does not shrink with the learning rate: after a large
drop of it nodes send almost always, unless c_t grows. The papers have c_t grow less than linearly in t.

A node that does not send is silent (`Compressor.compress`): one byte goes to each neighbour instead of a message.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.sums import squared_norms
from algorithms.state import State


@dataclass(frozen=True)
class EventThreshold:
    """A schedule of thresholds: called with the iteration t, gives c_t."""

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


def check_threshold(owner: object, threshold: float | EventThreshold) -> None:
    """Refuse a threshold that is neither a schedule nor a number >= 0; infinity, with which no node sends, is one."""
    valid = isinstance(threshold, EventThreshold) or (isinstance(threshold, int | float) and threshold >= 0)
    check(valid, owner, "threshold", ">= 0, or a schedule such as StepwiseThreshold(start=2.5, step=1.5)")


def start_trigger(state: State) -> None:
    """Add the count of how often each node fired."""
    state.fired = torch.zeros(len(state.x), dtype=torch.int64)
    state.triggers = 0


def fires(state: State, difference: Tensor, threshold: float | EventThreshold, lr: float) -> Tensor:
    """(k,) bool: which nodes send in this iteration, given x - h (k, d); they are counted. What is NaN fires."""
    c = threshold(state.step) if isinstance(threshold, EventThreshold) else threshold
    limit = c * lr**2 if math.isfinite(c) else c
    fired = ~(squared_norms(difference) <= limit)
    state.fired = state.fired + fired
    state.triggers += 1
    return fired


def share_fired(state: State) -> Tensor:
    """(k,): how often each node fired, of all times that it could have; 0 before the first."""
    return state.fired.double() / max(1, state.triggers)
