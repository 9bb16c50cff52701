"""Checks of the arguments of families: what is refused names the family, the parameter and what is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def count(family: str, value: Any, what: str = "n", least: int = 1) -> int:
    """`value` if it is a whole number of at least `least`, else a ValueError naming the parameter."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{family} needs {what} to be a whole number of at least {least}, got {value!r}")
    return int(value)


def probability(family: str, value: float, what: str = "probability") -> float:
    """`value` if it is between 0 and 1, else a ValueError naming the parameter."""
    if not 0 <= value <= 1:
        raise ValueError(f"{family} needs {what} between 0 and 1, got {value}")
    return float(value)


def prime(family: str, n: Any, least: int = 2) -> None:
    """Nothing if n is a prime of at least `least`, else a ValueError that names the nearest ones."""

    def is_prime(number: int) -> bool:
        return number >= least and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))

    count(family, n)
    if not is_prime(n):
        below = next((str(each) for each in range(n - 1, 1, -1) if is_prime(each)), "")
        above = next(each for each in range(n + 1, 2 * n + 4) if is_prime(each))
        nearest = f"are {below} and {above}" if below else f"is {above}"
        odd = "an odd prime" if least == 3 else "a prime"
        raise ValueError(f"{family} needs {odd}, got n = {n}; nearest {nearest}")
