"""The runs that a page is about, read from their directories and put together by what differs between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from gossip.errors import DataError, UsageError
from gossip.options.kinds import KINDS
from gossip.study.cells import about_run
from gossip.study.plan import Plan
from gossip.study.statistics import Spread, number_in, reached, spread
from gossip.study.values import Options, text_of
from gossip.yaml_files import parse_yaml

UNTOLD = (  # options that say nothing of the results
    *("output", "quiet", "config", "progress", "transport", "placement", "stall_timeout", "on_failure", "keep"),
    *("checkpoint_every", "resume", "trace", "traceback", "report", "seed"),
)


@dataclass(frozen=True)
class Kept:
    """A run as its directory has it."""

    directory: Path
    options: Options
    """With dotted keys, without the seed."""

    seed: int
    status: str
    """finished, diverged, failed, or stopped for one that has not come to its end."""

    line: str
    """Why it has not finished, in one line."""

    config: str
    history: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()

    @property
    def end(self) -> Mapping[str, Any]:
        """The last record; empty if there is none."""
        return self.history[-1] if self.history else {}


@dataclass(frozen=True)
class Cell:
    """The runs of one configuration, with different seeds."""

    name: str
    """What tells it from the others."""

    options: Options
    """Those that differ between cells."""

    runs: Sequence[Kept]

    search: str = ""
    """What came of the search for its best values, in words."""

    trials: Sequence[tuple[Mapping[str, float], int, float]] = field(default_factory=list)
    """Those of that search: values, steps, objective (or its negative where more is better)."""

    @cached_property
    def histories(self) -> list[Sequence[Mapping[str, Any]]]:
        """Those of the runs that have come to their end."""
        return [run.history for run in self.runs if run.status == "finished"]

    @property
    def last(self) -> Mapping[str, Any]:
        """The last record of a run; empty if there is none."""
        return next((history[-1] for history in self.histories if history), {})

    def final(self, metric: str) -> Spread | None:
        """A metric at the end, over the seeds."""
        values = [number_in(history[-1], metric) for history in self.histories]
        return spread(value for value in values if value is not None)

    def until(self, quantity: str, metric: str, target: float) -> Spread | None:
        """How much of a quantity is used until a target is reached, over the seeds that reach it."""
        records = [reached(history, metric, target) for history in self.histories]
        values = [number_in(record, quantity) for record in records if record is not None]
        return spread(value for value in values if value is not None)

    @property
    def ends(self) -> str:
        """How many runs ended how, in words."""
        statuses = [run.status for run in self.runs]
        found = [f"{statuses.count(each)} {each}" for each in ("finished", "diverged", "failed", "stopped")]
        return ", ".join(text for text in found if not text.startswith("0 "))


def of_plan(plan: Plan) -> list[Cell]:
    """The cells of a study, those too that have failed; without those whose best values are not known yet."""
    states = [state for state in plan.state() if state.runs]
    names = named([state.cell.options for state in states])
    cells = []
    for state, (name, options) in zip(states, names, strict=True):
        runs = [kept for run in state.runs if (kept := read_run(plan.store.of(run))) is not None]
        search, trials = "", []
        if state.found is not None:
            best = ", ".join(f"{key.rpartition('.')[2]}={value:g}" for key, value in state.found.best.items())
            search = best + (f" ({state.found.note})" if state.found.note else "")
            trials = [(dict(trial.values), trial.steps, score) for trial, score in state.seen]
        cells.append(Cell(name, options, runs, search, trials))
    return cells


def of_directories(paths: Iterable[Path]) -> list[Cell]:
    """The runs in these directories and below, by configuration, without those that served to look for best values.

    Raises:
        UsageError: There are none.
    """
    paths = list(paths)
    files = {file: file.relative_to(path) for path in paths for file in path.rglob("config.yaml")}
    # What a study computes at this moment is in a folder that begins with a dot.
    whole = [file for file, name in files.items() if not any(part.startswith(".") for part in name.parts)]
    found = sorted({file.parent.resolve() for file in whole})
    runs = [kept for directory in found if (kept := read_run(directory)) is not None]
    if not runs:
        raise UsageError(f"there are no runs in {', '.join(map(str, paths))}; a run directory has a metrics.jsonl")
    groups: dict[str, list[Kept]] = {}
    for kept in runs:
        groups.setdefault(json.dumps(kept.options, sort_keys=True, default=str), []).append(kept)
    members = [sorted(group, key=lambda run: run.seed) for group in groups.values()]
    names = named([group[0].options for group in members])
    return [Cell(name, options, group) for group, (name, options) in zip(members, names, strict=True)]


def read_run(directory: Path) -> Kept | None:
    """What a run directory has; None if it is none, or one of a search for best values.

    Raises:
        DataError: It cannot be read.
    """
    about = about_run(directory)
    config, metrics = directory / "config.yaml", directory / "metrics.jsonl"
    if (about is None and not metrics.exists()) or (about is not None and about["tuning"]):
        return None
    try:
        text = config.read_text(encoding="utf-8") if config.exists() else ""
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        history = [json.loads(line) for line in lines]
        options = parse_yaml(text) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"the run {directory} cannot be read: {' '.join(str(error).split())}") from error
    flat = {key: value for key, value in _told(options).items() if key.partition(".")[0] not in UNTOLD}
    if about is not None:
        given = flat or {key: text_of(value) for key, value in about["options"].items()}
        return Kept(directory, given, about["seed"], about["status"], about["line"], text, history, about["warnings"])
    status = _status(directory)
    return Kept(directory, flat, int(options.get("seed") or 0), status, "", text, history)


def named(options: Sequence[Options]) -> list[tuple[str, dict[str, Any]]]:
    """A name for each of these configurations, and the options that it is made of: those that tell it from others.

    First those that all have, and then, among those that are still alike, whatever they have.
    """
    keys = list(dict.fromkeys(key for each in options for key in each))
    common = [key for key in keys if all(key in each for each in options)]
    telling = [[key for key in common if _differs(key, options)] for _ in options]
    groups: dict[str, list[int]] = {}
    for index, each in enumerate(options):
        groups.setdefault(_name(each, telling[index]), []).append(index)
    for members in groups.values():
        among = [options[index] for index in members]
        more = [key for key in keys if key not in telling[members[0]] and _differs(key, among)]
        for index in members:
            telling[index] = [key for key in keys if key in telling[index] or (key in more and key in options[index])]
    return [
        (_name(each, telling[index]) or "all", {key: each[key] for key in telling[index]})
        for index, each in enumerate(options)
    ]


def _differs(key: str, options: Sequence[Options]) -> bool:
    return len({text_of(each[key]) if key in each else None for each in options}) > 1


def _name(options: Options, keys: Sequence[str]) -> str:
    """Classes by their names, other options with theirs."""
    parts = []
    for key in keys:
        text, last = text_of(options[key]), key.rpartition(".")[2]
        parts.append(text.rpartition(".")[2] if last in KINDS and not _number(text) else f"{last}={text}")
    return ", ".join(parts)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _told(value: Any, path: str = "") -> dict[str, Any]:
    """A configuration with dotted keys, where a class is its name."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = path if key in ("class_path", "init_args") and path else f"{path}.{key}" if path else str(key)
        if isinstance(part, Mapping):
            found |= _told(part, name)
        else:
            found[name] = str(part).rpartition(".")[2] if key == "class_path" else part
    return found


def _status(directory: Path) -> str:
    try:
        return str(json.loads((directory / "summary.json").read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # of a run that was stopped, or damaged
        return "stopped"
