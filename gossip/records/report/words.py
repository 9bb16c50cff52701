"""Words and numbers of the report as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Records = Sequence[Mapping[str, Any]]

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def words(key: str) -> str:
    """The name of a record's entry, as HTML."""
    return escape(key.replace("_", " "))


def counted(number: object, noun: str) -> str:
    """1 node, 2 nodes."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def number(value: Any, digits: int = 6) -> str:
    """A number as people read it; a dash for None."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else escape(str(value))


def pretty(number: str) -> str:
    """2e-06 as 2·10⁻⁶, and 1e-06 as 10⁻⁶."""
    mantissa, e, exponent = number.partition("e")
    if not e:
        return number
    return ("" if mantissa == "1" else f"{mantissa}·") + "10" + str(int(exponent)).translate(SUPERSCRIPTS)


def unit_of(value: float, units: Mapping[str, float]) -> str:
    """The largest unit that fits into the value; the smallest if none does."""
    smallest, *others = units
    return max((unit for unit in others if units[unit] <= value), key=units.__getitem__, default=smallest)


def byte_count(value: float | None) -> str:
    """In the unit of its size."""
    if value is None or not math.isfinite(value):
        return number(value)
    unit = unit_of(value, BYTES)
    return f"{value / BYTES[unit]:.4g} {unit}"


def duration(seconds: float | None) -> str:
    """In the unit of its size."""
    if seconds is None or not math.isfinite(seconds):
        return number(seconds)
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
