"""AdaComm: periods of local steps that shrink as the training loss does.

Wang & Joshi, "Adaptive Communication Strategies to Achieve the Best Error-Runtime Trade-off in Local-Update SGD",
MLSys 2019, arXiv 1810.08313.

Time is cut into intervals of T_0 seconds. With F_0 the training loss at the start, F_l that after the first averaging
that ends in the l-th interval or later, and lr_0 and lr_l the learning rates then, the period becomes

    basic      tau_l = ceil(sqrt((lr_0 / lr_l)^p F_l / F_0) tau_0)
    refined    the same if that is below tau_(l-1), otherwise floor(gamma tau_(l-1)), so that no plateau can stall it

and at least 1. p = 1 is what the paper uses; its theory has p = 3, which it finds too aggressive; with p = 0 the
learning rate does not count. A decay of the learning rate may be put off until the period has come down to 1. The least
possible loss is taken to be 0.

F is the mean over all nodes of the losses that they see in the first `samples` iterations after the averaging, the
first of which is at the averaged models, and after the start for F_0. tau changes in the last of these iterations.

Sent: in each interval, one number of the stack's type up and one down a binary tree over the nodes. In a time-varying
topology the iteration that sends it is a round.

Which time it is, the network tells: seconds on the clock of rank 0, the same for all, or simulated ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import NonFiniteError, check, positive
from algorithms.network import Network


@dataclass(frozen=True)
class AdaComm:
    """What may stand for the `period` of an algorithm.

    Args:
        start: Period at the start, tau_0 >= 1.
        interval: Seconds from one change to the next, T_0 > 0.
        refined: Let the period go down in every interval.
        gamma: By which factor it goes down where the loss does not, in (0, 1).
        lr_power: p >= 0.
        hold_lr: Put off decays of the learning rate until the period is 1.
        samples: How many iterations' losses make an F, >= 1.
    """

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

    def begin(self, x: Tensor) -> dict[str, Any]:
        """What is remembered, for the models x (k, d)."""
        return {
            "period": self.start,
            "done": 0,  # iterations since the last averaging
            "until": self.interval,  # when the interval ends
            "due": True,  # whether losses are being collected
            "losses": torch.zeros_like(x[:, 0]),
            "seen": 0,
            "first_loss": None,
            "first_lr": None,
            "lr": None,  # the last one
        }

    def rate(self, kept: dict[str, Any], lr: float) -> float:
        """The learning rate to use, where this one is scheduled."""
        held = self.hold_lr and kept["period"] > 1 and kept["lr"] is not None
        return max(lr, kept["lr"]) if held else lr

    def ends(self, kept: dict[str, Any], sample: Sample, lr: float, network: Network) -> bool:
        """Whether the period ends with this iteration; to be called once in each."""
        if kept["due"]:
            kept["losses"] = kept["losses"] + sample.loss.to(kept["losses"])
            kept["seen"] += 1
            if kept["seen"] == self.samples:
                self._choose(kept, lr, network)
        kept["lr"] = lr
        kept["done"] += 1
        if kept["done"] < kept["period"]:
            return False
        kept["done"] = 0
        settled = self.refined and kept["period"] == 1
        if not kept["due"] and not settled and (seconds := network.seconds) >= kept["until"]:
            kept["due"] = True
            kept["until"] = (math.floor(seconds / self.interval) + 1) * self.interval
        return True

    def period(self, loss: float, lr: float, before: int) -> int:
        """The next one.

        Args:
            loss: F_l / F_0.
            lr: lr_l / lr_0.
            before: The last one.
        """
        scaled = loss / lr**self.lr_power if lr > 0 else loss
        period = math.ceil(math.sqrt(max(scaled, 0)) * self.start)
        if self.refined and period >= before:
            period = math.floor(self.gamma * before)
        return max(1, period)

    def _choose(self, kept: dict[str, Any], lr: float, network: Network) -> None:
        loss = float(network.mean(kept["losses"][:, None])) / self.samples
        if not math.isfinite(loss):
            raise NonFiniteError(f"AdaComm: the training loss is {loss}; in one's own loop, step needs a closure")
        if kept["first_loss"] is None:
            if loss <= 0:
                raise ValueError(f"AdaComm needs a loss that is > 0 at the start, and it is {loss:.4g}")
            kept["first_loss"], kept["first_lr"] = loss, lr
        else:
            relative = lr / kept["first_lr"] if kept["first_lr"] else 0.0
            kept["period"] = self.period(loss / kept["first_loss"], relative, kept["period"])
        kept["due"], kept["seen"] = False, 0
        kept["losses"] = torch.zeros_like(kept["losses"])
