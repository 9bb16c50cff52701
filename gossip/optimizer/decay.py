"""The weight decay of parameter groups, of which an algorithm knows one at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor

from algorithms import Algorithm, LocalOptimizer
from algorithms.checks import unchecked
from algorithms.optimizers.weight_decay import PartedDecay, with_weight_decay
from gossip.optimizer.places import Place

Owner = Algorithm | LocalOptimizer
Decay = float | PartedDecay


class WeightDecay:
    """Where an algorithm or its update rule has a `weight_decay`, the groups' take its place, in the form it has there.

    Elsewhere a group's multiple of the parameters is added to their gradient, as torch.optim.SGD does.

    Args:
        algorithm: Which may have one.

    Attributes:
        default: What groups have that say nothing else.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._way = way_to_decay(algorithm)
        self.default = 0.0 if self._way is None else float(_at(algorithm, self._way))
        rule = None if self._way else _rule_of(algorithm)
        self._refused_by = None if rule is None else type(rule).__name__

    def begin(self, algorithm: Algorithm, groups: Sequence[dict[str, Any]]) -> Algorithm:
        """The algorithm with the largest of the groups', which says what it can do with it.

        Raises:
            ValueError: It can do nothing with it.
        """
        largest = max(float(group["weight_decay"]) for group in groups)
        if self._refused_by and largest:
            raise ValueError(
                f"weight_decay of parameter groups has no place in the update rule {self._refused_by}, which sees "
                f"gradients only; give it to that rule, if it has one"
            )
        return algorithm if self._way is None else with_decay(algorithm, self._way, largest)

    def apply(
        self, algorithm: Algorithm, places: Sequence[Place], values: Sequence[float], x: Tensor, direction: Tensor
    ) -> tuple[Algorithm, Tensor]:
        """The algorithm and the direction (1, d) with the weight decay of each parameter.

        Args:
            algorithm: As in the last step.
            places: Where each parameter lies.
            values: The weight decay of each.
            x: (1, d), the parameters.
            direction: (1, d), their gradient, which stays as it is.
        """
        decay = values[0] if len(set(values)) == 1 else parted(places, values)
        if self._way is None:
            return algorithm, with_weight_decay(direction, decay, x)
        return with_decay(algorithm, self._way, decay), direction


def parted(places: Sequence[Place], values: Sequence[float]) -> PartedDecay:
    """The weight decays of parameters that lie one after the other, those of neighbours that are equal as one."""
    parts: list[tuple[int, int, float]] = []
    for place, value in zip(places, values, strict=True):
        if parts and parts[-1][2] == value:
            parts[-1] = parts[-1][0], place.stop, value
        else:
            parts.append((place.start, place.stop, value))
    return PartedDecay(tuple(parts))


def way_to_decay(owner: Owner) -> tuple[str, ...] | None:
    """The names of the fields that lead from an algorithm to the `weight_decay` of its local steps; None if none do."""
    if "weight_decay" in {field.name for field in fields(owner)}:
        return ("weight_decay",)
    for name, part in _within(owner):
        way = way_to_decay(part)
        if way is not None:
            return (name, *way)
    return None


def with_decay(owner: Any, way: Sequence[str], decay: Decay) -> Any:
    """The same algorithm or rule with another weight decay at the end of this way; the very same if it has that."""
    if _at(owner, way) == decay:
        return owner
    name, *rest = way
    return unchecked(owner, name, with_decay(getattr(owner, name), rest, decay) if rest else decay)


def _within(owner: Owner) -> Iterator[tuple[str, Owner]]:
    """(name of the field, what is there): the update rule of an algorithm or a rule, and the method within another."""
    for name, kind in (("optimizer", LocalOptimizer), ("algorithm", Algorithm)):
        part = getattr(owner, name, None)
        if isinstance(part, kind):
            yield name, part


def _rule_of(algorithm: Algorithm) -> LocalOptimizer | None:
    """The update rule that an algorithm, or the method within it, makes its local steps by."""
    for _, part in _within(algorithm):
        rule = part if isinstance(part, LocalOptimizer) else _rule_of(part)
        if rule is not None:
            return rule
    return None


def _at(owner: Any, way: Sequence[str]) -> Any:
    for name in way:
        owner = getattr(owner, name)
    return owner
