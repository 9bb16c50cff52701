"""Local update rules by the equations of their papers."""

from __future__ import annotations

import numpy as np

from tests.algorithms.helpers import Array


class LiteralAdamW:
    def __init__(self, b1: float, b2: float, eps: float, decay: float) -> None:
        self.b1, self.b2, self.eps, self.decay = b1, b2, eps, decay
        self.m: Array | float = 0.0
        self.v: Array | float = 0.0
        self.t = 0

    def direction(self, X: Array, G: Array) -> Array:
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * G
        self.v = self.b2 * self.v + (1 - self.b2) * G**2
        m, v = self.m / (1 - self.b1**self.t), self.v / (1 - self.b2**self.t)
        return m / (np.sqrt(v) + self.eps) + self.decay * X
