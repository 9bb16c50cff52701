"""What a study is, and what it finds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gossip
from gossip.errors import DivergedError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Say = Callable[[str], None]
"""Tells whoever waits what is being computed."""

History = Sequence[Mapping[str, float]]
"""What `gossip.run` has measured of one run; empty if it diverged."""


@dataclass(frozen=True)
class Claim:
    """Something that a paper says, and what was measured.

    Attributes:
        text: The claim, in one line.
        measured: What was found, in a few words with numbers.
        holds: Whether that is what the paper says.
    """

    text: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes:
        rows: The lines of the table, each with the same columns by name; a number is shown with four digits.
        claims: What was put to the test.
        draw: Draws the plot on an empty figure.
        curves: Whatever else is worth keeping, such as what the plot shows; of numbers, texts, lists and mappings.
    """

    rows: Sequence[Mapping[str, Any]]
    claims: Sequence[Claim]
    draw: Callable[[Figure], None]
    curves: Mapping[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, list[str]]:
        """The table by columns, as text."""
        return {name: [_text(row[name]) for row in self.rows] for name in self.rows[0]}

    def record(self) -> dict[str, Any]:
        """All numbers, for other programs."""
        return {
            "claims": [{"text": claim.text, "measured": claim.measured, "holds": claim.holds} for claim in self.claims],
            "table": [dict(row) for row in self.rows],
            "curves": dict(self.curves),
        }


@dataclass(frozen=True)
class Study:
    """A claim of a paper together with an experiment that can prove it wrong.

    Attributes:
        paper: Authors, year and arXiv number.
        claim: What it says, in one line.
        run: The experiment, on these seeds; under MPI every rank calls it. Its further parameters are its sizes.
        seeds: How many seeds it takes by default.
    """

    paper: str
    claim: str
    run: Callable[[Sequence[int], Say], Findings]
    seeds: int = 1


def history_of(*what: Any, **options: Any) -> list[dict[str, Any]]:
    """The history of `gossip.run` with these arguments, by default of the average model alone; empty if it diverged.

    No run directory is written.
    """
    try:
        return gossip.run(*what, **{"output": None, "evaluate_nodes": 0, **options}).history
    except DivergedError:
        return []


def to_json(value: Any) -> str:
    """JSON in which numbers that are not finite are null, since JSON has none."""
    return json.dumps(_finite(value), indent=1) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
