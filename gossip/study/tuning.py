"""The search for the best values of a cell's options, on seeds of its own.

A search is a generator: it yields the trials whose scores it wants to know next, and is sent the scores. So it does not
know where and when they are computed, and can be gone through again from what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from gossip.errors import UsageError
from gossip.study.values import Range

Tuner = Literal["grid", "optuna"]
Place = tuple[float, ...]  # on the grid of each range; whole numbers are its points

SHARES = (4, 2, 1)  # of the steps of a run, one over these, that the trials of each round make
EXTENSIONS = 3  # steps that the search goes beyond an end of a range, where the best value is at the end
TRIALS = 20  # of Optuna


@dataclass(frozen=True)
class Trial:
    """A run that tells how good some values are."""

    values: Mapping[str, float]
    """Of the options that are looked for."""

    steps: int
    """So many it makes, maybe fewer than a run that counts."""


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    best: Mapping[str, float]
    """The values with the lowest score in whole runs."""

    note: str
    """What is worth knowing about it, in words."""


Search = Generator[Sequence[Trial], Sequence[float], Found]


def search(ranges: Mapping[str, Range], steps: int, tuner: Tuner) -> Search:
    """The search over these ranges, of values for runs of so many steps. The lowest score is best."""
    return _by_optuna(ranges, steps) if tuner == "optuna" else _by_halving(ranges, steps)


def gone_through(
    search: Search, score: Callable[[Trial], float | None]
) -> tuple[Found | None, list[tuple[Trial, float]]]:
    """How far a search comes with the scores that are known.

    Args:
        search: From its beginning.
        score: That of a trial; None if it is not known yet.

    Returns:
        What it has found, None if it has asked for scores that are not known, and what it has seen before that.
    """
    seen: list[tuple[Trial, float]] = []
    try:
        trials = next(search)
        while True:
            scores = [score(trial) for trial in trials]
            known = [each for each in scores if each is not None]
            if len(known) < len(scores):
                return None, seen
            seen += zip(trials, known, strict=True)
            trials = search.send(known)
    except StopIteration as end:
        return end.value, seen


def _by_halving(ranges: Mapping[str, Range], steps: int) -> Search:
    """A logarithmic grid whose worse half leaves after a quarter and after half of the steps; from the best of the
    rest beyond the ends of the grid as long as that is better, and then to both sides by half a step of the grid."""
    places: list[Place] = list(product(*(tuple(map(float, range(each.points))) for each in ranges.values())))
    known: dict[Place, float] = {}  # in whole runs

    def trials(at: Sequence[Place], share: int = 1) -> list[Trial]:
        return [Trial(_values(ranges, place), max(1, steps // share)) for place in at]

    for share in SHARES:
        scores = dict(zip(places, (yield trials(places, share)), strict=True))
        if share == 1:
            known = scores
        else:
            places = sorted(sorted(places, key=scores.__getitem__)[: max(2, math.ceil(len(places) / 2))])
    note = ""
    for _ in range(EXTENSIONS):
        best = _best(known)
        beyond = [place for place in _beyond(best, ranges) if place not in known]
        if not beyond or not math.isfinite(known[best]):
            break
        note = "the best of the range was at its end, so the search went beyond"
        known |= dict(zip(beyond, (yield trials(beyond)), strict=True))
    best = _best(known)
    if math.isfinite(known[best]):
        between = [place for place in _beside(best) if place not in known]
        known |= dict(zip(between, (yield trials(between)), strict=True))
        if _best(known) != best:
            note = "; ".join(part for part in (note, "the best is between two values of the grid") if part)
    best = _best(known)
    if not math.isfinite(known[best]):
        note = "no value in the range gives a run that comes to its end"
    elif any(place < 0 or place > each.points - 1 for place, each in zip(best, ranges.values(), strict=True)):
        note = "the best is beyond the range that was given"
    return Found(_values(ranges, best), note)


def _by_optuna(ranges: Mapping[str, Range], steps: int) -> Search:
    """Optuna's default sampler, a tree-structured Parzen estimator, with a fixed seed, one trial after the other."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError("--tuner optuna needs the package optuna: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    best: tuple[float, Mapping[str, float]] = (math.inf, _values(ranges, tuple(0.0 for _ in ranges)))
    for _ in range(TRIALS):
        trial = study.ask()
        drawn = {name: trial.suggest_float(name, each.low, each.high, log=True) for name, each in ranges.items()}
        values = {name: float(f"{value:.4g}") for name, value in drawn.items()}
        (score,) = yield [Trial(values, steps)]
        if math.isfinite(score):
            study.tell(trial, score)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        best = min(best, (score, values), key=lambda each: each[0])
    return Found(best[1], f"{TRIALS} trials of Optuna")


def _values(ranges: Mapping[str, Range], place: Place) -> dict[str, float]:
    return {name: each.value(at) for (name, each), at in zip(ranges.items(), place, strict=True)}


def _best(scores: Mapping[Place, float]) -> Place:
    """That of the lowest score; of several, the first place."""
    return min(sorted(scores), key=scores.__getitem__)


def _beyond(best: Place, ranges: Mapping[str, Range]) -> list[Place]:
    """The next places outside, in those directions in which the best is at an end of its range or beyond."""
    found = []
    for axis, each in enumerate(ranges.values()):
        step = -1 if best[axis] <= 0 else 1 if best[axis] >= each.points - 1 else 0
        if step:
            found.append((*best[:axis], best[axis] + step, *best[axis + 1 :]))
    return found


def _beside(best: Place) -> list[Place]:
    """The places half a step to both sides, in each direction."""
    return [(*best[:axis], best[axis] + half, *best[axis + 1 :]) for axis in range(len(best)) for half in (-0.5, 0.5)]
