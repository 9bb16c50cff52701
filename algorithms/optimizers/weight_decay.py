"""Weight decay: what pulls the parameters towards 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.sums import add_scaled


@dataclass(frozen=True)
class PartedDecay:
    """Weight decay that differs from part to part of a vector, in the place of a number. False where it is 0 in all.

    Attributes:
        parts: (first, stop, weight decay) of each, which are the whole vector one after the other.
    """

    parts: tuple[tuple[int, int, float], ...]

    def __bool__(self) -> bool:
        return any(self.values)

    @property
    def values(self) -> list[float]:
        """Of the parts."""
        return [value for _, _, value in self.parts]

    def at(self, first: int) -> float:
        """That of the number in this place."""
        return next(value for start, stop, value in self.parts if start <= first < stop)


def check_weight_decay(owner: object, weight_decay: float | PartedDecay) -> None:
    """Refuse a weight decay that is negative or not finite."""
    values = weight_decay.values if isinstance(weight_decay, PartedDecay) else [weight_decay]
    check(all(0 <= value < math.inf for value in values), owner, "weight_decay", ">= 0")


def with_weight_decay(direction: Tensor, weight_decay: float | PartedDecay, x: Tensor) -> Tensor:
    """direction + weight_decay x, (k, d)."""
    if not weight_decay:
        return direction
    if not isinstance(weight_decay, PartedDecay):
        return add_scaled(direction, weight_decay, x)
    result = torch.empty_like(direction)
    for start, stop, value in weight_decay.parts:
        here = (slice(None), slice(start, stop))
        result[here] = with_weight_decay(direction[here], value, x[here])
    return result


def decay_of(weight_decay: float | PartedDecay, places: Sequence[slice]) -> float | Tensor:
    """That of each tensor in these places of a vector, (L,) float64, or of all of them."""
    if not isinstance(weight_decay, PartedDecay):
        return weight_decay
    return torch.tensor([weight_decay.at(place.start) for place in places], dtype=torch.float64)
