"""What the subcommands share: options as dataclass fields, and rows as results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import topologies
from algorithms.checks import check
from gossip.bench.timing import SHORTEST
from gossip.console import table
from gossip.network import Communicator
from topologies import Schedule

KEYS = ("case", "transport", "topology", "ranks", "dimension", "seconds", "baseline", "baseline_seconds", "ratio")
TOPOLOGIES = {family.__name__: cast(Callable[[int], Schedule], family) for family in topologies.FAMILIES}


@dataclass(frozen=True)
class TimeRow:
    """One case against one baseline.

    Attributes:
        case: What was timed.
        transport: What carried rows between ranks; None where nothing does.
        topology: Name of the topology; None where there is none.
        ranks: Number of processes.
        dimension: Entries of a vector, d.
        seconds: Seconds of one iteration of the case on the slowest rank.
        baseline: What the case is compared with.
        baseline_seconds: Seconds of one iteration of the baseline; None where it does not exist.
    """

    case: str
    transport: str | None
    topology: str | None
    ranks: int
    dimension: int
    seconds: float
    baseline: str
    baseline_seconds: float | None

    @property
    def ratio(self) -> float | None:
        """Time over the baseline's time."""
        return None if self.baseline_seconds is None else self.seconds / self.baseline_seconds

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        return {key: getattr(self, key) for key in KEYS}


def whole(text: str) -> int:
    """A whole number, which may be written as 1e6."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text} is not a whole number")
    return int(number)


def option(
    default: Any, about: str, kind: Callable[[str], Any] = str, choices: Iterable[str] | None = None, least: int = 1
) -> Any:
    """A field that is an option of the command line.

    Args:
        default: Its value if it is not given. With a tuple the option takes one or more values, with False none.
        about: Its help.
        kind: Makes a value of a word.
        choices: The words that are allowed.
        least: The smallest number that is allowed.
    """
    allowed = None if choices is None else tuple(choices)
    return field(default=default, metadata={"help": about, "type": kind, "choices": allowed, "least": least})


def block_option() -> Any:
    """The field of the commands that time blocks of iterations."""
    return option(SHORTEST, "seconds of a timed block, at least", float, least=0)


@dataclass(frozen=True)
class Command:
    """A subcommand; its fields are its options."""

    repeats: int = option(15, "timed blocks of each case and baseline, of which the median counts", whole)
    json: str | None = option(None, "file for the rows, as a JSON list")

    def __post_init__(self) -> None:
        for name, each in self.__dataclass_fields__.items():
            value = getattr(self, name)
            least = each.metadata["least"]
            for number in value if isinstance(value, tuple) else (value,):
                in_range = not isinstance(number, int | float) or isinstance(number, bool) or number >= least
                check(in_range, self, name, f">= {least}")

    def run(self, communicator: Communicator) -> Sequence[Any]:
        """Measure; collective. The rows, each with a method `record`, matter on rank 0."""
        raise NotImplementedError

    def files(self) -> list[str]:
        """What is going to be written."""
        return [] if self.json is None else [self.json]

    def columns(self, rows: Sequence[Any]) -> Mapping[str, list[str]]:
        """The table of the rows, by columns: here a line for each case, with the ratios to the baselines and these'
        own times."""
        baselines = list(dict.fromkeys(row.baseline for row in rows))
        lines: dict[tuple[Any, ...], dict[str, TimeRow]] = {}
        for row in rows:
            lines.setdefault((row.case, row.transport, row.topology, row.dimension), {})[row.baseline] = row
        first = [next(iter(line.values())) for line in lines.values()]
        return {
            "case": [row.case for row in first],
            "transport": [row.transport or "" for row in first],
            "topology": [row.topology or "" for row in first],
            "ranks": [str(row.ranks) for row in first],
            "dimension": [f"{row.dimension:,}" for row in first],
            "time": [table.duration(row.seconds) for row in first],
            **{f"/ {name}": [_against(line.get(name)) for line in lines.values()] for name in baselines},
        }


def _against(row: TimeRow | None) -> str:
    if row is None:
        return ""
    if row.ratio is None or row.baseline_seconds is None:
        return "-"
    return f"{table.number(row.ratio)} ({table.duration(row.baseline_seconds)})"
