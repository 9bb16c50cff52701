"""How long gradients take the nodes of a simulated network: by a distribution, or as a trace file says."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.errors import DataError

Nanoseconds = NDArray[np.int64]
Jitter = Literal["none", "exponential", "lognormal", "pareto", "two_state"]

SECOND = 10**9  # nanoseconds
SLOW_STATE = 10.0  # times as long
PAIRS = ["node", "seconds"]  # header of a trace with a line for each node and step


def in_nanoseconds(seconds: Any) -> Nanoseconds:
    """The nearest whole numbers of nanoseconds."""
    return np.rint(np.asarray(seconds, float) * SECOND).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Trace:
    """Computing times that were measured, node by node; where a run is longer than those of a node, they begin again.

    Args:
        seconds: Of each node, (steps,) with any number of steps >= 1: how long its gradients take, >= 0.
    """

    seconds: Sequence[NDArray[np.float64]]

    def __post_init__(self) -> None:
        for node, times in enumerate(self.seconds):
            if not len(times) or not np.all(np.isfinite(times) & (times >= 0)):
                raise ValueError(f"the trace of node {node} must have one or more numbers of seconds, >= 0")

    @property
    def n(self) -> int:
        """The number of nodes."""
        return len(self.seconds)

    def of_step(self, step: int) -> NDArray[np.float64]:
        """(n,) seconds."""
        return np.array([times[step % len(times)] for times in self.seconds])

    @classmethod
    def read(cls, file: Path) -> Trace:
        """What a CSV file says, in one of two forms, with seconds in both:

        * a column for each node in the order of their numbers and a line for each step, maybe with a header;
        * with the header `node,seconds` a line for each node and step, those of a node in the order of its steps.

        Raises:
            DataError: It cannot be read.
            ValueError: It is none.
        """
        try:
            with file.open(newline="", encoding="utf-8") as lines:
                rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if row]
        except OSError as error:
            raise DataError(f"cannot read the trace {file} ({error.strerror})") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{file} is no CSV file: {error}") from error
        header = [cell.strip() for cell in rows[0][1]] if rows else []
        body = rows if all(map(_is_number, header)) else rows[1:]
        if not body:
            raise ValueError(f"{file} has no computing times; needed is a column for each node, or node,seconds lines")
        return cls(_by_pairs(file, body) if header == PAIRS else _by_columns(file, body, len(header)))


@dataclass(frozen=True)
class Compute:
    """How long the gradient of a step takes each node.

    With the jitter "none" always `seconds`; "exponential", seconds (1 + spread E) with E exponential of mean 1; with
    "lognormal", seconds exp(spread N) with N standard normal; with "pareto", seconds (1 + P) with P + 1 of Pareto's
    distribution of shape 1 / spread, >= 1; with "two_state", seconds, or in a share `spread` of the steps 10 times as
    long. All independent for each node and step, by the seed of the run.

    Args:
        seconds: >= 0.
        jitter: How it varies.
        spread: How much, >= 0.
        slow: Node -> how many times as long its gradients take, > 0.
        trace: Computing times in the place of these, but for `slow`.
    """

    seconds: float = 0.0
    jitter: Jitter = "none"
    spread: float = 0.0
    slow: Mapping[int, float] = field(default_factory=dict)
    trace: Trace | None = None

    def __post_init__(self) -> None:
        check(0 <= self.seconds < math.inf, self, "seconds", ">= 0")
        check(self.jitter in get_args(Jitter), self, "jitter", f"one of {', '.join(get_args(Jitter))}")
        check(0 <= self.spread < math.inf, self, "spread", ">= 0")
        check(self.jitter != "two_state" or self.spread <= 1, self, "spread", "in [0, 1], a share of the steps")
        for node, times in self.slow.items():
            check(node >= 0 and times > 0, self, "slow", "numbers of nodes with a factor > 0")
        if self.trace is not None:
            for name in ("seconds", "jitter", "spread"):
                check(getattr(self, name) in (0, "none"), self, name, "left out beside a trace, which says all times")

    def check_nodes(self, n: int) -> None:
        """Raise ValueError if this is not about n nodes with data."""
        check(all(node < n for node in self.slow), self, "slow", f"nodes with data, 0 to {n - 1}")
        if self.trace is not None and self.trace.n != n:
            raise ValueError(
                f"the computing times are those of {self.trace.n} nodes, and {n} nodes have data; give as many columns"
            )

    def nanoseconds(self, n: int, seed: int, step: int) -> Nanoseconds:
        """(n,): that of this step."""
        seconds = self._drawn(n, seed, step) if self.trace is None else self.trace.of_step(step)
        for node, times in self.slow.items():
            seconds[node] *= times
        return in_nanoseconds(seconds)

    def _drawn(self, n: int, seed: int, step: int) -> NDArray[np.float64]:
        random = generator(seed, "compute seconds", step)
        seconds = np.full(n, self.seconds)
        if self.jitter == "exponential":
            seconds *= 1 + self.spread * random.exponential(size=n)
        elif self.jitter == "lognormal":
            seconds *= np.exp(self.spread * random.standard_normal(n))
        elif self.jitter == "pareto" and self.spread:
            seconds *= 1 + random.pareto(1 / self.spread, n)
        elif self.jitter == "two_state":
            seconds *= np.where(random.random(n) < self.spread, SLOW_STATE, 1.0)
        return seconds


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _seconds(file: Path, line: int, text: str) -> float:
    if not _is_number(text) or not 0 <= float(text) < math.inf:
        raise ValueError(f"{file}, line {line}: {text.strip()!r} is no number of seconds, >= 0")
    return float(text)


def _by_columns(file: Path, rows: Sequence[tuple[int, list[str]]], n: int) -> list[NDArray[np.float64]]:
    for line, row in rows:
        if len(row) != n:
            raise ValueError(f"{file}, line {line}: it has {len(row)} columns, and the first line has {n}")
    steps = [[_seconds(file, line, cell) for cell in row] for line, row in rows]
    return list(np.array(steps).T)


def _by_pairs(file: Path, rows: Sequence[tuple[int, list[str]]]) -> list[NDArray[np.float64]]:
    found: dict[int, list[float]] = {}
    for line, row in rows:
        if len(row) != 2 or not row[0].strip().isdecimal():
            raise ValueError(f"{file}, line {line}: {','.join(row)!r} is no number of a node and its seconds")
        found.setdefault(int(row[0]), []).append(_seconds(file, line, row[1]))
    lacking = sorted({*range(max(found) + 1)} - {*found}) if max(found) < len(rows) else [max(found) - 1]
    if lacking:
        raise ValueError(f"{file} has no seconds of node {lacking[0]}, but of node {max(found)}; nodes count from 0")
    return [np.array(found[node]) for node in range(len(found))]
