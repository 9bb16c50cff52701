"""Momentum: a direction of descent that remembers the gradients before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.state import Block


@dataclass
class Momentum(Block):
    """A momentum buffer of each local node, in the form of torch.optim.SGD with dampening 0.

        v <- factor v + g;   the direction is v, or g + factor v with Nesterov's variant

    The learning rate stays outside the buffer, so it may vary.

    Attributes:
        factor: The momentum, in [0, 1). With 0 the direction is the gradient itself.
        nesterov: Whether the direction is that of Nesterov's variant.
        buffer: v, (k, d); None where the factor is 0.
    """

    past: ClassVar[tuple[str, ...]] = ("buffer",)

    factor: float
    nesterov: bool
    buffer: Tensor | None

    @classmethod
    def start(cls, x: Tensor, factor: float, nesterov: bool = False) -> Momentum:
        """The momentum of nothing seen so far, for stacks like x (k, d)."""
        return cls(factor, nesterov, torch.zeros_like(x) if factor else None)

    def descend(self, gradient: Tensor) -> Tensor:
        """Take up a gradient (k, d), which stays as it is, and give the direction to descend along, (k, d).

        The direction may be the gradient or the buffer itself: it may be read until the next call.
        """
        if self.buffer is None:
            return gradient
        add_scaled(gradient, self.factor, self.buffer, out=self.buffer)
        return add_scaled(gradient, self.factor, self.buffer) if self.nesterov else self.buffer


def check_momentum(owner: object, momentum: float, nesterov: bool = False) -> None:
    """Refuse a momentum outside [0, 1), and Nesterov's variant without any."""
    check(0 <= momentum < 1, owner, "momentum", "in [0, 1)")
    check(not nesterov or momentum > 0, owner, "nesterov", "false where momentum is 0")
