"""How a study is described: in a YAML file, on the command line, or in both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gossip.errors import UsageError
from gossip.study.grid import Grid, When
from gossip.study.values import Range, assignments, checked_key, flat
from gossip.yaml_files import read_yaml

KEYS = ("run", "set", "zip", "exclude", "when", "tune", "seeds", "target", "objective")  # of a file


@dataclass(frozen=True)
class Study:
    """A grid of runs."""

    grid: Grid
    """Its cells."""

    seeds: Sequence[int] = (0,)
    """The seeds that each cell is run with."""

    target: Mapping[str, float] = field(default_factory=dict)
    """A metric and the value that is to be reached, for the table; chosen by the results if there is none."""

    objective: str = "test_loss"
    """The metric at the end of a run by which the best value is chosen where one is looked for."""


def read(path: Path) -> dict[str, Any]:
    """What a study's file says.

    Raises:
        DataError: It cannot be read.
        UsageError: It is no study.
    """
    kept = read_yaml(path)
    if not isinstance(kept, dict):
        raise UsageError(f"{path} is no study; it must have some of {', '.join(KEYS)}")
    unknown = [key for key in kept if key not in KEYS]
    if unknown:
        raise UsageError(f"{path} has {unknown[0]!r}, which no study has; it may have {', '.join(KEYS)}")
    return kept


def study_of(kept: Mapping[str, Any]) -> Study:
    """The study that a file, or a command line in its form, describes.

    Raises:
        UsageError: It describes none.
    """
    base = {key: [value] for key, value in flat(_mapping(kept, "run")).items()}
    varied = _values(_mapping(kept, "set"))
    grid = Grid(
        {**{key: value for key, value in base.items() if key not in varied}, **varied},
        [_values(each) for each in _list(kept, "zip")],
        [_values(each) for each in _list(kept, "exclude")],
        [_when(each) for each in _list(kept, "when")],
        _tuned(_mapping(kept, "tune")),
    )
    return Study(
        grid, _seeds(kept.get("seeds", 1)), _target(_mapping(kept, "target")), kept.get("objective", "test_loss")
    )


def from_words(
    sets: Iterable[Sequence[str]],
    zips: Iterable[Sequence[str]],
    excludes: Iterable[Sequence[str]],
    whens: Iterable[Sequence[str]],
    tunes: Iterable[Sequence[str]],
) -> dict[str, Any]:
    """The command line's lists of words in the form of a file."""
    return {
        "set": assignments([word for words in sets for word in words]),
        "zip": [assignments(words) for words in zips],
        "exclude": [assignments(words) for words in excludes],
        "when": [_when_words(words) for words in whens],
        "tune": {key: values[0] for key, values in assignments([w for words in tunes for w in words]).items()},
    }  # fmt: skip


def merged(kept: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """A file, and the command line's words beside it, which replace what the file says of options that both name.

    Raises:
        UsageError: The file has them in a zip, where values belong together.
    """
    said = {*words["set"], *words["tune"]}
    zipped = {checked_key(key) for each in _list(kept, "zip") for key in each}
    for key in said:
        if key in zipped:
            raise UsageError(f"{key} is zipped in the study's file, where its values belong to those of others")

    def unsaid(key: str) -> dict[str, Any]:
        """What the file says there of other options."""
        return {name: value for name, value in _mapping(kept, key).items() if checked_key(str(name)) not in said}

    both = {key: {**unsaid(key), **words[key]} for key in ("set", "tune")}
    run = {key: value for key, value in flat(_mapping(kept, "run")).items() if key not in said}
    lists = {key: [*_list(kept, key), *words[key]] for key in ("zip", "exclude", "when")}
    return {**kept, "run": run, **both, **lists}


def plain(study: Study) -> dict[str, Any]:
    """The study as its file says it, resolved."""
    grid = study.grid

    def tuned(ranges: Mapping[str, Range]) -> dict[str, str]:
        return {key: str(each) for key, each in ranges.items()}

    found: dict[str, Any] = {
        "set": {key: list(values) for key, values in grid.values.items()},
        "zip": [{key: list(values) for key, values in each.items()} for each in grid.zipped],
        "exclude": [{key: list(values) for key, values in each.items()} for each in grid.excluded],
        "when": [
            {"if": dict(when.condition), "set": dict(when.values), "tune": tuned(when.tuned)}
            for when in grid.conditions
        ],
        "tune": tuned(grid.tuned),
        "seeds": list(study.seeds),
        "target": dict(study.target),
        "objective": study.objective,
    }
    return {key: value for key, value in found.items() if value}


def _when_words(words: Sequence[str]) -> dict[str, Any]:
    place = next((i for i, word in enumerate(words) if word in ("then", "tune")), 0)
    if place == 0 or place == len(words) - 1:
        raise UsageError("--when is KEY=VALUE ... then KEY=VALUE,VALUE ..., or with tune KEY=LOW..HIGH in its place")
    rest = assignments(words[place + 1 :])
    tunes = {key: values[0] for key, values in rest.items()}
    return {"if": assignments(words[:place]), **({"set": rest} if words[place] == "then" else {"tune": tunes})}


def _when(kept: Mapping[str, Any]) -> When:
    unknown = [key for key in kept if key not in ("if", "run", "set", "tune")]
    if unknown or not kept.get("if"):
        raise UsageError("an entry of when has an if, and run, set or tune: what those cells have that meet it")
    fixed = {key: [value] for key, value in flat(_mapping(kept, "run")).items()}
    return When(
        _values(_mapping(kept, "if")), {**fixed, **_values(_mapping(kept, "set"))}, _tuned(_mapping(kept, "tune"))
    )


def _values(kept: Mapping[str, Any]) -> dict[str, list[Any]]:
    found = {}
    for key, value in kept.items():
        values = value if isinstance(value, list) else [value]
        if not values:
            raise UsageError(f"{key} has no values")
        found[checked_key(str(key))] = values
    return found


def _tuned(kept: Mapping[str, Any]) -> dict[str, Range]:
    return {checked_key(key): Range.parse(key, text) for key, text in kept.items()}


def _mapping(kept: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = kept.get(key) or {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{key} of a study is {value!r}; it must be a mapping from options to values")
    return value


def _list(kept: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = kept.get(key) or []
    value = [value] if isinstance(value, Mapping) else value
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise UsageError(f"{key} of a study is {value!r}; it must be a list of mappings from options to values")
    return value


def _seeds(kept: Any) -> tuple[int, ...]:
    seeds = range(kept) if isinstance(kept, int) and not isinstance(kept, bool) else kept
    if not isinstance(seeds, range | list) or not seeds or not all(isinstance(s, int) and s >= 0 for s in seeds):
        raise UsageError(f"seeds = {kept!r} is not allowed; it must be a number >= 1, or a list of seeds >= 0")
    return tuple(dict.fromkeys(seeds))


def _target(kept: Mapping[str, Any]) -> dict[str, float]:
    if len(kept) > 1 or not all(isinstance(value, int | float) for value in kept.values()):
        raise UsageError(f"target = {dict(kept)!r} is not allowed; it must be one metric and a number")
    return {key: float(value) for key, value in kept.items()}
