"""Outer steps: an anchor that is moved by an update rule, towards where local steps have led."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import vanishes
from algorithms.state import Block


@dataclass
class Outer(Block):
    """A point from which local steps have started, and what the rule remembers that moves it.

    Attributes:
        anchor: z, (k, d).
        memory: What the rule remembers.
    """

    anchor: Tensor
    memory: Block | None

    @classmethod
    def start(cls, anchor: Tensor, rule: LocalOptimizer) -> Outer:
        """The anchor (k, d) before its first step by this rule."""
        return cls(anchor, rule.start(anchor))

    def moved(self, rule: LocalOptimizer, towards: Tensor, unit: float, factor: float = 1.0) -> Tensor:
        """Where the anchor goes, (k, d), by one update of the rule; the anchor itself stays.

        The gradient is (z - towards) / unit, and the learning rate factor * unit. Where the unit is so small that the
        division may overflow, the anchor goes to z - factor (z - towards), which is the limit for a rule without
        memory, and the rule remembers nothing of it.

        Args:
            rule: The update rule.
            towards: (k, d), where local steps have led.
            unit: The learning rate of the local steps, >= 0.
            factor: The learning rate of the outer step, in that unit.
        """
        moved = self.anchor - towards
        if vanishes(unit, moved.dtype):
            return add_scaled(self.anchor, -factor, moved)
        return add_scaled(self.anchor, *rule.update(self.anchor, self.memory, moved / unit, factor * unit))
