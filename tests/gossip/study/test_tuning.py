"""The search for the best values finds them, by scores alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.study.tuning import Found, Trial, gone_through, search
from gossip.study.values import Range
from tests.conftest import lacking

LR = {"lr": Range(0.01, 1.0, 5)}
STEPS = 100


def found(
    ranges: Mapping[str, Range], score: Callable[[Mapping[str, float]], float], tuner: str = "grid"
) -> tuple[Found, list[tuple[Trial, float]]]:
    best, seen = gone_through(search(ranges, STEPS, tuner), lambda trial: score(trial.values))
    assert best is not None
    return best, seen


@settings(deadline=None, max_examples=30)
@given(st.floats(-3.0, 1.0))
def test_it_comes_within_a_quarter_of_a_decade_also_beyond_the_range(optimum: float) -> None:
    best, _ = found(LR, lambda values: abs(math.log10(values["lr"]) - optimum))
    assert abs(math.log10(best.best["lr"]) - optimum) <= 0.13
    assert ("end" in best.note or "beyond" in best.note) or -2.3 <= optimum <= 0.3


def test_several_options_are_looked_for_together() -> None:
    def score(values: Mapping[str, float]) -> float:
        return abs(math.log10(values["lr"]) + 1) + abs(math.log10(values["gamma"]) + 0.5)

    best, _ = found({**LR, "gamma": Range(0.1, 1.0, 3)}, score)
    assert best.best == {"lr": 0.1, "gamma": 0.3162}


def test_the_worse_half_leaves_early() -> None:
    _, seen = found(LR, lambda values: abs(math.log10(values["lr"]) + 1.1))
    by_steps = {steps: sum(trial.steps == steps for trial, _ in seen) for steps in (25, 50, 100)}
    assert by_steps == {25: 5, 50: 3, 100: 2 + 2}  # and the two between
    whole = {trial.values["lr"] for trial, _ in seen if trial.steps == STEPS}
    assert whole == {0.1, 0.03162, 0.05623, 0.1778}


def test_values_that_diverge_are_avoided() -> None:
    best, _ = found(LR, lambda values: math.inf if values["lr"] > 0.2 else -values["lr"])
    assert best.best["lr"] == pytest.approx(0.1778, rel=1e-3)
    best, _ = found(LR, lambda values: math.inf)
    assert "no value" in best.note


def test_it_goes_on_from_what_is_known() -> None:
    """The scores come one after the other, and each trial is asked for as long as its score is not known, only."""
    known: dict[tuple[float, int], float] = {}
    asked: list[tuple[float, int]] = []
    while True:
        missing: list[tuple[float, int]] = []

        def score(trial: Trial, missing: list[tuple[float, int]] = missing) -> float | None:
            key = trial.values["lr"], trial.steps
            if key not in known:
                missing.append(key)
            return known.get(key)

        best, _ = gone_through(search(LR, STEPS, "grid"), score)
        if best is not None:
            break
        asked.append(missing[0])
        known[missing[0]] = abs(math.log10(missing[0][0]) + 0.6)
    assert len(asked) == len(set(asked))
    assert best == found(LR, lambda values: abs(math.log10(values["lr"]) + 0.6))[0]


def test_optuna() -> None:
    if find_spec("optuna") is None:
        lacking("optuna", "pip install optuna")
    best, seen = found(LR, lambda values: abs(math.log10(values["lr"]) + 0.6), "optuna")
    assert abs(math.log10(best.best["lr"]) + 0.6) < 0.3
    assert len(seen) == 20
    assert found(LR, lambda values: abs(math.log10(values["lr"]) + 0.6), "optuna")[0] == best
