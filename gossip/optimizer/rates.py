"""The learning rates of parameter groups, of which an algorithm knows one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from algorithms import Algorithm, LearningRate
from algorithms.schedules.learning_rate import learning_rate

Groups = Sequence[Mapping[str, Any]]


class LearningRates:
    """The algorithm runs with the largest one, and the gradients of the other groups are scaled down.

    A schedule of the algorithm's own rules instead, and is shown in the groups.

    Args:
        algorithm: Has a learning rate.

    Attributes:
        first: That of the first step.
        shares: For each group, its learning rate relative to the largest one; none beside a local optimizer.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        lr = learning_rate_of(algorithm)
        assert lr is not None
        self.shares: list[float] = []
        self.first = self._shown = learning_rate(lr, 0)  # what a schedule last set in the groups

    def begin(self, algorithm: Algorithm, groups: Groups) -> None:
        """See the groups for the first time.

        Raises:
            ValueError: They cannot have these learning rates.
        """
        self.shares = [1.0] * len(groups)
        if isinstance(learning_rate_of(algorithm), LearningRate):
            self.check_follows(algorithm, groups)
        self.see(algorithm, groups)

    def apply(
        self, algorithm: Algorithm, groups: Groups, sizes: Sequence[int], direction: Tensor
    ) -> tuple[Algorithm, Tensor]:
        """The algorithm with its learning rate, and the direction (1, d) with each group's share of it.

        Args:
            algorithm: As in the last step.
            groups: As they are now.
            sizes: How many numbers of each group are in the vector.
            direction: (1, d).

        Raises:
            ValueError: The groups cannot have these learning rates.
        """
        if isinstance(learning_rate_of(algorithm), LearningRate):
            self.check_follows(algorithm, groups)
            return algorithm, direction
        algorithm = with_learning_rate(algorithm, self.see(algorithm, groups))
        if all(share == 1 for share in self.shares):
            return algorithm, direction
        parts = zip(self.shares, direction.split(list(sizes), dim=1), strict=True)
        return algorithm, torch.cat([share * part for share, part in parts], dim=1)

    def see(self, algorithm: Algorithm, groups: Groups) -> float:
        """The largest one, of which the other groups get a share.

        Raises:
            ValueError: They differ, and the algorithm cannot do with that.
        """
        rates = [float(group["lr"]) for group in groups]
        largest = max(rates)
        if largest > 0:  # otherwise momentum is collected in the proportions from before
            self.shares = [rate / largest for rate in rates]
        if min(self.shares) < 1 and not algorithm.proportional:
            name = type(algorithm).__name__
            raise ValueError(
                f"{name} as set up needs the same learning rate in all parameter groups; they have {rates}"
            )
        return largest

    def check_follows(self, algorithm: Algorithm, groups: Groups) -> None:
        """Refuse groups whose learning rate something else than the algorithm's schedule sets.

        Raises:
            ValueError: Some have.
        """
        if any(group["lr"] != self._shown or "initial_lr" in group for group in groups):
            raise ValueError(
                f"the learning rate follows {learning_rate_of(algorithm)}, so parameter groups and torch's schedulers "
                f"cannot set it; give {type(algorithm).__name__} a number instead"
            )

    def show(self, algorithm: Algorithm, groups: Sequence[dict[str, Any]], step: int) -> None:
        """Set in the groups what the schedule, if there is one, has for this step."""
        lr = learning_rate_of(algorithm)
        if isinstance(lr, LearningRate):
            self._shown = lr(step)
            for group in groups:
                group["lr"] = self._shown


def with_learning_rate(algorithm: Algorithm, lr: float) -> Algorithm:
    """The same algorithm with another learning rate, which may be 0 here."""
    return algorithm if learning_rate_of(algorithm) == lr else algorithm.with_learning_rate(lr)


def learning_rate_of(algorithm: Algorithm) -> float | LearningRate | None:
    """What an algorithm has as `lr`; None if it has none."""
    return getattr(algorithm, "lr", None)


def beside_local(algorithm: Algorithm) -> Algorithm:
    """The algorithm as it goes along what a local optimizer would change.

    Raises:
        ValueError: It cannot.
    """
    name = type(algorithm).__name__
    if isinstance(learning_rate_of(algorithm), LearningRate):
        raise ValueError(f"{name} does not use its lr beside a local optimizer: put the schedule on that one")
    if not algorithm.proportional:
        raise ValueError(f"{name} as set up cannot take its directions from a local optimizer")
    return with_learning_rate(algorithm, 1.0)
