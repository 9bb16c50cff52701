"""Adam's estimates of the first two moments of a gradient, entry by entry, free of their bias towards 0.

    m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2

After t updates from 0, m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) are weighted averages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.numerics.sums import add_scaled
from algorithms.state import Block


def check_moments(owner: object, beta1: float, beta2: float, epsilon: float) -> None:
    """Refuse decay rates outside [0, 1), and an epsilon that is not positive."""
    check(0 <= beta1 < 1, owner, "beta1", "in [0, 1)")
    check(0 <= beta2 < 1, owner, "beta2", "in [0, 1)")
    check(positive(epsilon), owner, "epsilon", "> 0")


@dataclass
class Moments(Block):
    """The estimates of each local node.

    Attributes:
        first: m, (k, d).
        second: v, (k, d).
        updates: t, the gradients taken up so far.
        late: (first, stop, updates before) of columns that have joined later, whose t is less by these.
    """

    past: ClassVar[tuple[str, ...]] = ("first", "second", "updates")

    first: Tensor
    second: Tensor
    updates: int = 0
    late: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def start(cls, x: Tensor) -> Moments:
        """The moments of no gradient so far, for stacks like x (k, d)."""
        return cls(torch.zeros_like(x), torch.zeros_like(x))

    def normalized(self, gradient: Tensor, beta1: float, beta2: float, epsilon: float) -> Tensor:
        """Take up a gradient (k, d) and give m^ / (sqrt(v^) + epsilon), (k, d), in new memory."""
        add_scaled((1 - beta1) * gradient, beta1, self.first, out=self.first)
        square = gradient * gradient
        square *= 1 - beta2
        add_scaled(square, beta2, self.second, out=self.second)
        self.updates += 1
        divisor = torch.sqrt(self.second, out=square)
        if self.late:
            divisor /= self._weights(beta2).sqrt().to(divisor)
            divisor += epsilon
            divisor *= self._weights(beta1).to(divisor)
        else:
            divisor /= math.sqrt(1 - beta2**self.updates)
            divisor += epsilon
            divisor *= 1 - beta1**self.updates
        return torch.div(self.first, divisor, out=divisor)

    def _weights(self, beta: float) -> Tensor:
        """(d,) float64: 1 - beta^t of each column."""
        weights = torch.full(self.first.shape[1:], 1 - beta**self.updates, dtype=torch.float64)
        for first, stop, before in self.late:
            weights[first:stop] = 1 - beta ** (self.updates - before)
        return weights
