"""AdaComm: periods of local steps that shrink as the training loss does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.period import Period, PeriodState
from algorithms.checks import NonFiniteError, check, positive
from algorithms.network import Network


@dataclass
class AdaCommState(PeriodState):
    """Where an algorithm stands in its periods, and what AdaComm has seen of its losses.

    Attributes:
        until: When the interval ends, in seconds of the training.
        losses: (k,), the sum of the losses that have been collected so far.
        done: Iterations since the last averaging.
        due: Whether losses are being collected.
        seen: How many iterations' losses have been collected.
        first_loss: F_0; None before it is known.
        first_lr: lr_0; None before F_0 is known.
        lr: The last learning rate; None before the first iteration.
    """

    until: float
    losses: Tensor
    done: int = 0
    due: bool = True
    seen: int = 0
    first_loss: float | None = None
    first_lr: float | None = None
    lr: float | None = None


@dataclass(frozen=True)
class AdaComm(Period[AdaCommState]):
    """AdaComm: periods of local steps that shrink as the training loss does, for the `period` of an algorithm.

    Wang & Joshi, "Adaptive Communication Strategies to Achieve the Best Error-Runtime Trade-off in Local-Update SGD",
    MLSys 2019, arXiv 1810.08313.

    Time is cut into intervals of T_0 seconds. With F_0 the training loss at the start, F_l that after the first
    averaging that ends in the l-th interval or later, and lr_0 and lr_l the learning rates then, the period becomes

        basic      tau_l = ceil(sqrt((lr_0 / lr_l)^p F_l / F_0) tau_0)
        refined    the same if that is below tau_(l-1), else floor(gamma tau_(l-1)), so that no plateau can stall it

    and at least 1. p = 1 is what the paper uses; its theory has p = 3, which it finds too aggressive; with p = 0 the
    learning rate does not count. A decay of the learning rate may be put off until the period has come down to 1. The
    least possible loss is taken to be 0.

    F is the mean over all nodes of the losses that they see in the first `samples` iterations after the averaging, the
    first of which is at the averaged models, and after the start for F_0. tau changes in the last of these iterations.

    Sent: in each interval, one number of the stack's type up and one down a binary tree over the nodes. In a
    time-varying topology the iteration that sends it is a round.

    Which time it is, the network tells: seconds on the clock of rank 0, the same for all, or simulated ones.

    Args:
        start: Period at the start, tau_0 >= 1.
        interval: Seconds from one change to the next, T_0 > 0.
        refined: Let the period go down in every interval.
        gamma: By which factor it goes down where the loss does not, in (0, 1).
        lr_power: p >= 0.
        hold_lr: Put off decays of the learning rate until the period is 1.
        samples: How many iterations' losses make an F, >= 1.
    """

    acts_on_losses: ClassVar[bool] = True  # see `algorithms.Method`

    start: int = 20
    interval: float = 60.0
    refined: bool = True
    gamma: float = 0.5
    lr_power: float = 1.0
    hold_lr: bool = False
    samples: int = 1

    def __post_init__(self) -> None:
        check(self.start >= 1, self, "start", ">= 1")
        check(positive(self.interval), self, "interval", "> 0 seconds")
        check(0 < self.gamma < 1, self, "gamma", "in (0, 1)")
        check(0 <= self.lr_power < math.inf, self, "lr_power", ">= 0")
        check(self.samples >= 1, self, "samples", ">= 1")

    @property
    def least(self) -> int:
        return 1

    def begin(self, x: Tensor) -> AdaCommState:
        return AdaCommState(self.start, until=self.interval, losses=torch.zeros_like(x[:, 0]))

    def rate(self, state: AdaCommState, lr: float) -> float:
        if self.hold_lr and state.length > 1 and state.lr is not None:
            return max(lr, state.lr)
        return lr

    def report(self, state: AdaCommState) -> dict[str, Tensor]:
        return {"period": torch.full((len(state.losses),), float(state.length), dtype=torch.float64)}

    def ends(self, state: AdaCommState, step: int, sample: Sample, lr: float, network: Network) -> bool:
        if state.due:
            state.losses = state.losses + sample.loss.to(state.losses)
            state.seen += 1
            if state.seen == self.samples:
                self._choose(state, lr, network)
        state.lr = lr
        state.done += 1
        if state.done < state.length:
            return False
        state.done = 0
        settled = self.refined and state.length == 1
        if not state.due and not settled and (seconds := network.seconds) >= state.until:
            state.due = True
            state.until = (math.floor(seconds / self.interval) + 1) * self.interval
        return True

    def period(self, loss: float, lr: float, before: int) -> int:
        """The next one.

        Args:
            loss: F_l / F_0.
            lr: lr_l / lr_0. Where it is too small to count with, as where a schedule ends at 0, it does not count.
            before: The last one.
        """
        power = lr**self.lr_power
        scaled = math.sqrt(max(loss / power if power > 0 else loss, 0)) * self.start
        period = math.ceil(scaled) if math.isfinite(scaled) else before
        if self.refined and period >= before:
            period = math.floor(self.gamma * before)
        return max(1, period)

    def _choose(self, state: AdaCommState, lr: float, network: Network) -> None:
        """Take the mean loss that has been collected as the first one, or change the length of the period by it."""
        loss = float(network.mean(state.losses[:, None])) / self.samples
        if not math.isfinite(loss):
            raise NonFiniteError(f"AdaComm: the training loss is {loss}; in one's own loop, step needs a closure")
        if state.first_loss is None:
            if loss <= 0:
                raise ValueError(f"AdaComm needs a loss that is > 0 at the start, and it is {loss:.4g}")
            state.first_loss, state.first_lr = loss, lr
        else:
            relative = lr / state.first_lr if state.first_lr else 0.0
            state.length = self.period(loss / state.first_loss, relative, state.length)
        state.due, state.seen = False, 0
        state.losses = torch.zeros_like(state.losses)
