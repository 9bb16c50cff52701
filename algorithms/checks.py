"""Validation of hyper-parameters, with one clear line for what is out of range."""

from __future__ import annotations

import copy
import math
from typing import Any, TypeVar

Owner = TypeVar("Owner")


def check(valid: bool, owner: object, name: str, allowed: str) -> None:
    """Raise ValueError naming the class, the parameter, its value and what is allowed, unless `valid`."""
    if not valid:
        value = getattr(owner, name)
        raise ValueError(f"{type(owner).__name__}: {name} = {value!r} is not allowed; it must be {allowed}")


def unchecked(owner: Owner, name: str, value: Any) -> Owner:
    """A copy of a frozen dataclass in which a field has this value, which need not be allowed."""
    changed = copy.copy(owner)
    object.__setattr__(changed, name, value)
    return changed


def positive(value: float) -> bool:
    """Whether a number is positive and finite."""
    return 0 < value < math.inf


class NonFiniteError(ArithmeticError):
    """A vector holds NaN or infinity where the method cannot go on: the run has diverged."""
