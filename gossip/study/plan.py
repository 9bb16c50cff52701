"""What of a study is still to be computed, as far as can be said from what is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossip.errors import UsageError
from gossip.options.command_line import STEPS
from gossip.options.messages import NotUnderstoodError
from gossip.study.cells import Run, Store, refusal
from gossip.study.description import Study
from gossip.study.grid import Cell
from gossip.study.statistics import more_is_better
from gossip.study.tuning import Found, Trial, Tuner, gone_through, search
from gossip.study.values import text_of

OF_NODES = "node_"  # how names of metrics of single nodes' models begin
TUNING_SEED = 1_000_000  # and the next ones: far from the seeds that count


@dataclass(frozen=True)
class Tuned:
    """A cell and what is known of the best values of its options."""

    cell: Cell
    """As it was described."""

    runs: Sequence[Run]
    """Those that count; none as long as the best values are not known."""

    trials: Sequence[Run]
    """Those that the search needs next."""

    seen: Sequence[tuple[Trial, float]] = ()
    """What the search has tried, with the scores: the objective, or its negative where more is better."""

    found: Found | None = None
    """What it has found."""


@dataclass(frozen=True)
class Plan:
    """A study, or a part of it, on what is kept of its runs."""

    study: Study
    cells: Sequence[Cell]
    store: Store
    tuner: Tuner = "grid"
    tuning_seeds: int = 1

    def state(self) -> list[Tuned]:
        """How each cell stands."""
        return [self._of(cell) for cell in self.cells]

    def needed(self, tried: Iterable[str] = ()) -> list[Run]:
        """The runs that can be computed now, each once; none if all is done.

        Args:
            tried: The identities of those that have been computed and are not to be tried again, whatever came of it.
        """
        left = {run.identity: run for each in self.state() for run in (*each.runs, *each.trials)}
        for name in tried:
            left.pop(name, None)
        return [run for run in left.values() if not ((end := self.store.outcome(run)) and end.done)]

    def _of(self, cell: Cell) -> Tuned:
        if not cell.tuned:
            return Tuned(cell, self._counting(cell), ())
        needed: list[Run] = []  # those without a score, of the first trials that lack some

        def score(trial: Trial) -> float | None:
            runs = self._trying(cell, trial)
            scores = [self._score(run) for run in runs]
            needed.extend(run for run, each in zip(runs, scores, strict=True) if each is None)
            known = [each for each in scores if each is not None]
            return sum(known) / len(known) if len(known) == len(scores) else None

        steps = int(cell.options.get("steps", STEPS))
        found, seen = gone_through(search(cell.tuned, steps, self.tuner), score)
        if found is None:
            return Tuned(cell, (), needed, seen)
        return Tuned(cell, self._counting(Cell({**cell.options, **found.best})), (), seen, found)

    def _counting(self, cell: Cell) -> list[Run]:
        return [Run(cell.options, seed) for seed in self.study.seeds]

    def _trying(self, cell: Cell, trial: Trial) -> list[Run]:
        short: dict[str, Any] = {"steps": trial.steps, "evaluate_every": max(1, trial.steps)}
        if not self.study.objective.startswith(OF_NODES):  # models of single nodes, which then need not be evaluated
            short["evaluate_nodes"] = 0
        options = {**cell.options, **short, **trial.values}
        return [Run(options, TUNING_SEED + number, tuning=True) for number in range(self.tuning_seeds)]

    def _score(self, run: Run) -> float | None:
        """The objective at the end, or its negative; infinite for a run that has not come to its end."""
        outcome = self.store.outcome(run)
        if outcome is None:
            return None
        if outcome.status != "finished":
            return math.inf
        value = _final(self.store.of(run), self.study.objective)
        return -value if more_is_better(self.study.objective) else value


def check_words(cells: Sequence[Cell]) -> None:
    """Refuse a study in which some value of an option has no meaning in any cell.

    Raises:
        UsageError: It has one.
    """
    refused = [refusal({**cell.options, **{key: each.low for key, each in cell.tuned.items()}}) for cell in cells]
    values = {(key, text_of(value)) for cell in cells for key, value in cell.options.items()}
    keys = {key for cell in cells for key in cell.tuned}
    for key, value in [*sorted(values), *((key, "") for key in sorted(keys))]:
        lines = [
            error
            for cell, error in zip(cells, refused, strict=True)
            if (key in cell.tuned if not value else key in cell.options and text_of(cell.options[key]) == value)
        ]
        if all(isinstance(error, NotUnderstoodError) for error in lines):
            raise UsageError(f"no cell with {key}{'=' if value else ''}{value} can be run: {lines[0]}")


def _final(directory: Path, metric: str) -> float:
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    value = summary.get(metric)
    if not isinstance(value, int | float):
        known = ", ".join(name for name, each in summary.items() if isinstance(each, float))
        raise UsageError(f"--objective {metric} is not measured by these runs; it may be one of {known}")
    return float(value)
