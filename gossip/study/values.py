"""Options of a run as a study names them: dotted keys with the values that they take."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gossip.errors import UsageError
from gossip.execution.training import DECIDE_MODELS
from gossip.yaml_files import parse_value

Options = Mapping[str, Any]
"""Dotted key, such as algorithm.lr -> a value as YAML has it."""

OPTIONS = ("nodes", *(name for name in DECIDE_MODELS if name not in ("seed", "start")), "steps")
OPTIONS += ("evaluate_every", "evaluate_nodes")
POINTS_PER_DECADE = 2


def checked_key(key: str) -> str:
    """The key of an option that a study may vary.

    Raises:
        UsageError: It is none.
    """
    first, dot, rest = key.strip().removeprefix("--").partition(".")
    first = first.replace("-", "_")
    if first == "seed":
        raise UsageError("a study counts seeds by --seeds, such as --seeds 3: leave seed out")
    if first not in OPTIONS:
        near = difflib.get_close_matches(first, OPTIONS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"a study has no option {first!r} to vary; {hint}it may be {', '.join(OPTIONS)}, or a part of one"
        )
    return f"{first}{dot}{rest}"


def split(text: str) -> list[Any]:
    """a,b,c as three values, each in YAML; commas within brackets, braces, parentheses and quotes do not count."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    if not all(part.strip() for part in parts):
        raise UsageError(f"{text!r} is not a list of values; write them as a,b,c")
    return [_value(part) for part in parts]


def assignments(words: Sequence[str]) -> dict[str, list[Any]]:
    """KEY=a,b ... -> the values of each key.

    Raises:
        UsageError: One of the words is not of this form, or a key comes twice.
    """
    found: dict[str, list[Any]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is not understood; write KEY=VALUE,VALUE such as topology=ring,torus")
        key = checked_key(key)
        if key in found:
            raise UsageError(f"{key} is given twice; write all its values in one list")
        found[key] = split(text)
    return found


def flat(kept: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys; class_path and init_args, as in a run's config.yaml, are the class's."""
    found: dict[str, Any] = {}
    for key, value in kept.items():
        name = path if key in ("class_path", "init_args") and path else f"{path}.{key}" if path else checked_key(key)
        found |= flat(value, name) if isinstance(value, Mapping) else {name: value}
    return found


def text_of(value: Any) -> str:
    """A value as it stands on a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not isinstance(value, bool):
        return repr(value)
    return json.dumps(value)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, in whatever form they are written."""
    one, other = text_of(one), text_of(other)
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def words(options: Options) -> list[str]:
    """The options as the words of a command line, classes before their fields."""
    ordered = sorted(options.items(), key=lambda item: item[0].count("."))
    return [f"--{_dashed(key)}={text_of(value)}" for key, value in ordered]


@dataclass(frozen=True)
class Range:
    """Where the best value of an option is looked for: between two numbers, on a logarithmic scale.

    Args:
        low: > 0.
        high: > low.
        points: How many values the first grid has, its ends among them, >= 2.
    """

    low: float
    high: float
    points: int

    @classmethod
    def parse(cls, key: str, text: Any) -> Range:
        """LOW..HIGH, or LOW..HIGH:POINTS.

        Raises:
            UsageError: It is none.
        """
        ends, _, points = str(text).partition(":")
        low, _, high = ends.partition("..")
        try:
            one, other = float(low), float(high)
            count = int(points) if points else max(2, 1 + round(POINTS_PER_DECADE * math.log10(other / one)))
        except (ValueError, ZeroDivisionError):
            one = other = math.nan
            count = 0
        if not (0 < one < other < math.inf and count >= 2):
            raise UsageError(
                f"--tune {key}={text} is not allowed; it must be LOW..HIGH with 0 < LOW < HIGH, such as 0.01..1, "
                f"or 0.01..1:5 for a first grid of 5 values"
            )
        return cls(one, other, count)

    def value(self, place: float) -> float:
        """That at a place on the grid, 0 to points - 1, or between or beyond; with four digits."""
        return float(f"{self.low * (self.high / self.low) ** (place / (self.points - 1)):.4g}")

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}:{self.points}"


def _value(text: str) -> Any:
    try:
        return parse_value(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{text!r} is not a value: {' '.join(str(error).split())}") from error


def _dashed(key: str) -> str:
    first, dot, rest = key.partition(".")
    return f"{first.replace('_', '-')}{dot}{rest}"
