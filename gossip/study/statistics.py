"""What several seeds say together: means with their spread, curves with bands, and when a target is reached."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

History = Sequence[Mapping[str, Any]]
"""The records of a run, one for each evaluation."""

CONFIDENCE = 0.95
PROGRESS = 0.9  # of the way from the beginning to the best end, where the target is if none is given


@dataclass(frozen=True)
class Spread:
    """Some numbers, in short."""

    mean: float
    """Their mean."""

    deviation: float | None
    """Their standard deviation, with n - 1 in the denominator; None for a single one."""

    interval: float | None
    """Half the width of the 95 % confidence interval of the mean, by Student's t; None for a single one."""

    count: int
    """How many there are."""


def spread(values: Iterable[float]) -> Spread | None:
    """Mean, standard deviation and confidence interval; None of no numbers."""
    numbers = np.array(list(values), float)
    if not numbers.size:
        return None
    if numbers.size == 1:
        return Spread(float(numbers[0]), None, None, 1)
    from scipy.special import stdtrit

    deviation = float(numbers.std(ddof=1))
    quantile = float(stdtrit(numbers.size - 1, (1 + CONFIDENCE) / 2))
    return Spread(float(numbers.mean()), deviation, quantile * deviation / math.sqrt(numbers.size), numbers.size)


def number_in(record: Mapping[str, Any], key: str) -> float | None:
    """A finite number of a record; None if it has none."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def curve(histories: Sequence[History], x: str, y: str) -> dict[str, list[float]]:
    """The mean of a metric over some quantity, with the confidence interval, at the steps that all runs have reached.

    Returns:
        x, mean, low and high, each one number for every such step; low and high are NaN for a single run.
    """
    found: dict[str, list[float]] = {"x": [], "mean": [], "low": [], "high": []}
    by_step = [{int(record["step"]): record for record in history} for history in histories if history]
    steps = sorted(set.intersection(*(set(each) for each in by_step))) if by_step else []
    for step in steps:
        places = [number_in(each[step], x) for each in by_step]
        values = [number_in(each[step], y) for each in by_step]
        known = [value for value in values if value is not None]
        if None in places or len(known) < len(values):
            continue
        found["x"].append(float(np.mean([place for place in places if place is not None])))
        seen = spread(known)
        assert seen is not None
        found["mean"].append(seen.mean)
        found["low"].append(seen.mean - (math.nan if seen.interval is None else seen.interval))
        found["high"].append(seen.mean + (math.nan if seen.interval is None else seen.interval))
    return found


def more_is_better(metric: str) -> bool:
    """Whether a metric is one of those that are to grow."""
    return metric.endswith("accuracy")


def reached(history: History, metric: str, target: float) -> Mapping[str, Any] | None:
    """The first record at which a metric has come to its target; None if it never does."""
    for record in history:
        value = number_in(record, metric)
        if value is not None and (value >= target if more_is_better(metric) else value <= target):
            return record
    return None


def chosen_target(histories: Sequence[Sequence[History]]) -> tuple[str, float] | None:
    """A metric and a target for these cells, each with its runs; None if nothing improves.

    It is nine tenths of the way from the mean beginning to the best mean end, in the first of test accuracy, test loss
    and training loss that improves.
    """
    for metric in ("test_accuracy", "test_loss", "train_loss"):
        begins = [number_in(history[0], metric) for runs in histories for history in runs if history]
        ends = [
            np.mean([value for value in last if value is not None])
            for runs in histories
            if (last := [number_in(history[-1], metric) for history in runs if history]) and None not in last
        ]
        known = [value for value in begins if value is not None]
        if not known or not ends:
            continue
        begin, best = float(np.mean(known)), float(max(ends) if more_is_better(metric) else min(ends))
        if best > begin if more_is_better(metric) else best < begin:
            return metric, float(f"{begin + PROGRESS * (best - begin):.4g}")
    return None


def pareto(points: Sequence[tuple[float, float] | None], metric: str) -> list[bool]:
    """Whether no other point is at most as costly (the first number) and at least as good (the second), and not the
    same; None is never."""
    sign = 1.0 if more_is_better(metric) else -1.0
    known = [(cost, sign * value) for point in points if point is not None for cost, value in [point]]

    def dominated(cost: float, value: float) -> bool:
        return any(other <= cost and better >= value and (other, better) != (cost, value) for other, better in known)

    return [point is not None and not dominated(point[0], sign * point[1]) for point in points]
