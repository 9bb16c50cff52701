"""What a private mechanism has done with somebody's data, as an accountant of differential privacy takes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from algorithms.checks import check, positive
from algorithms.network import Network

Neighbors = Literal["add or remove", "replace", "zero"]
"""Two data sets are neighbours if one of them has one unit more ("add or remove"), if one unit is another one
("replace"), or if one unit does not show, as if it were the zero vector ("zero"; Kairouz et al. 2021, 2103.00039)."""


@dataclass(frozen=True)
class Spending:
    """Equal uses of a mechanism on the data of one unit: an example, or a client with all that it has.

    Attributes:
        noise_multiplier: Standard deviation of the noise over the l2 sensitivity under `neighbors`.
        uses: How often, with noise of its own each time; of a tree, how many trees.
        neighbors: Which data sets must not be told apart.
        sample: (size, of): each use is on a random sample, not known to others: with "add or remove" everybody is in it
            with probability size / of, with "replace" it is one of so many, without replacement. None for everybody.
        discrete: Whether the noise is of a discrete Gaussian; there is no claim of what a sample amplifies then.
        steps: Of each tree: how many prefix sums are told, in which a unit counts once. None for no tree.
    """

    noise_multiplier: float
    uses: int
    neighbors: Neighbors
    sample: tuple[int, int] | None = None
    discrete: bool = False
    steps: int | None = None

    @property
    def rate(self) -> float:
        """Which share of the units is in a sample."""
        return 1.0 if self.sample is None else self.sample[0] / self.sample[1]


@runtime_checkable
class PrivateMethod(Protocol):
    """A method that adds noise for differential privacy of all data of a client, or node."""

    delta: float

    def spent(self, state: object, network: Network) -> set[Spending]:
        """What has been done with the data of the local nodes until now; nothing said of those without data."""


@runtime_checkable
class PrivateOracle(Protocol):
    """An oracle that adds noise for differential privacy of single examples."""

    delta: float

    def spent_on(self, examples: int, gradients: int) -> Spending:
        """What has been done with the data of a node.

        Args:
            examples: How many it has.
            gradients: What `OracleState.gradients` says of it.
        """


def worst(spendings: Iterable[Spending]) -> list[Spending]:
    """Those of which none is surely less than another one: as many uses or more, of as large a share or larger."""
    kept: list[Spending] = []
    best: dict[tuple[object, ...], float] = {}
    for each in sorted(spendings, key=lambda spending: (-spending.uses, -spending.rate)):
        kind = each.noise_multiplier, each.neighbors, each.discrete, each.steps
        if each.rate > best.get(kind, 0.0):
            best[kind] = each.rate
            kept.append(each)
    return kept


def check_mechanism(owner: object, clip: float, noise_multiplier: float, delta: float) -> None:
    """Refuse what is out of range in the fields of a mechanism."""
    check(0 <= noise_multiplier < math.inf, owner, "noise_multiplier", ">= 0")
    check(clip > 0 and (positive(clip) or not noise_multiplier), owner, "clip", "> 0, and finite where there is noise")
    check(0 < delta < 1, owner, "delta", "in (0, 1), and far below 1 over how many there are")
