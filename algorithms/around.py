"""What methods around another one share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, cast

from algorithms.algorithm import Algorithm
from algorithms.checks import check


class AroundMethod:
    """A method around another one, `algorithm`, a field of theirs: what it asks for and has is what that one does."""

    algorithm: Algorithm

    def check_method(self) -> None:
        """Refuse a method whose nodes do not step together, which only node programs could go around.

        Raises:
            ValueError: It is one.
        """
        allowed = "a method whose nodes step together, such as DecentralizedSGD; asynchronous ones do not"
        check(isinstance(self.algorithm, Algorithm), self, "algorithm", allowed)

    @property
    def lr(self) -> Any:
        """The method's learning rate; None if it has none."""
        return getattr(self.algorithm, "lr", None)

    @property
    def needs(self) -> tuple[str, ...]:
        """See `algorithms.Algorithm`, as for all others."""
        return self.algorithm.needs

    @property
    def least_eigenvalue(self) -> float:
        return self.algorithm.least_eigenvalue

    @property
    def auxiliary(self) -> int:
        return self.algorithm.auxiliary

    @property
    def servers(self) -> int:
        return self.algorithm.servers

    @property
    def trusted(self) -> int:
        return self.algorithm.trusted

    @property
    def proportional(self) -> bool:
        return self.algorithm.proportional

    @property
    def takes_norms(self) -> bool:
        return self.algorithm.takes_norms

    @property
    def takes_losses(self) -> bool:
        return self.algorithm.takes_losses

    @property
    def acts_on_losses(self) -> bool:
        return self.algorithm.acts_on_losses

    @property
    def sets_batch_size(self) -> bool:
        return self.algorithm.sets_batch_size

    def with_learning_rate(self, lr: float) -> Self:
        return self._around(self.algorithm.with_learning_rate(lr))

    def replicated(self) -> Self:
        return self._around(self.algorithm.replicated())

    def for_examples(self, examples: Sequence[int]) -> Self:
        return self._around(self.algorithm.for_examples(examples))

    def _around(self, algorithm: Algorithm) -> Self:
        return cast(Self, replace(cast(Any, self), algorithm=algorithm))
