"""What methods around another method have from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, cast

from algorithms.algorithm import Algorithm


class Around:
    """What methods share that are made around another one, a field of theirs: they ask for what it asks for."""

    algorithm: Algorithm

    @property
    def lr(self) -> Any:
        """The method's learning rate; None if it has none."""
        return getattr(self.algorithm, "lr", None)

    @property
    def needs(self) -> tuple[str, ...]:
        """See `algorithms.Algorithm`."""
        return self.algorithm.needs

    @property
    def least_eigenvalue(self) -> float:
        """See `algorithms.Algorithm`."""
        return self.algorithm.least_eigenvalue

    @property
    def auxiliary(self) -> int:
        """See `algorithms.Algorithm`."""
        return self.algorithm.auxiliary

    @property
    def servers(self) -> int:
        """See `algorithms.Algorithm`."""
        return self.algorithm.servers

    @property
    def trusted(self) -> int:
        """See `algorithms.Algorithm`."""
        return self.algorithm.trusted

    @property
    def proportional(self) -> bool:
        """See `algorithms.Algorithm`."""
        return self.algorithm.proportional

    @property
    def takes_norms(self) -> bool:
        """See `algorithms.Algorithm`."""
        return self.algorithm.takes_norms

    @property
    def takes_losses(self) -> bool:
        """See `algorithms.Algorithm`."""
        return self.algorithm.takes_losses

    def with_learning_rate(self, lr: float) -> Self:
        """See `algorithms.Algorithm`."""
        return self._around(self.algorithm.with_learning_rate(lr))

    def replicated(self) -> Self:
        """See `algorithms.Algorithm`."""
        return self._around(self.algorithm.replicated())

    def for_examples(self, examples: Sequence[int]) -> Self:
        """See `algorithms.Algorithm`."""
        return self._around(self.algorithm.for_examples(examples))

    def _around(self, algorithm: Algorithm) -> Self:
        return cast(Self, replace(cast(Any, self), algorithm=algorithm))
