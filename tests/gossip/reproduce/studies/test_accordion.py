"""The study of Accordion, at a tiny size."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gossip.reproduce.studies import accordion
from gossip.reproduce.studies.accordion import ACCORDION, LIGHT, OPERATORS, RATES, STRONG, STUDY, TENSORS, claims, run
from tests.gossip.reproduce.studies.test_studies import complete


def table(light: float = 0.93, strong: float = 0.9, own: float = 0.925, megabytes: float = 5.0) -> list[dict[str, Any]]:
    """Of all operators alike."""
    found = []
    for name in OPERATORS:
        for schedule, accuracy, sent in ((LIGHT, light, 12.0), (STRONG, strong, 4.0), (ACCORDION, own, megabytes)):
            row = {"operator": name, "compression": schedule, "learning rate": RATES[name][LIGHT]}
            found.append(row | {"MB": sent, "accuracy": accuracy, "spread": 0.006})
    return found


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({}, [True, True]),
        ({"own": 0.94}, [True, True]),
        ({"own": 0.92}, [False, True]),
        ({"megabytes": 6.7}, [True, False]),
        ({"megabytes": math.nan}, [True, False]),
    ],
    ids=["as the paper", "better", "beyond the spread", "too many bytes", "diverged"],
)
def test_the_claims(changed: dict[str, float], held: list[bool]) -> None:
    assert [claim.holds for claim in claims(table(**changed))] == held * len(OPERATORS)


def test_what_has_its_own_learning_rate_is_not_compared() -> None:
    rows = table()
    for row in table(own=0.5):
        rows.append(row | {"learning rate": 7.0})
    assert all(claim.holds for claim in claims(rows))


def test_at_a_tiny_size() -> None:
    assert STUDY.seeds == 3
    name = next(iter(OPERATORS))
    findings = run([0], lambda text: None, names=[name], epochs=6, hidden=3)
    complete(findings, sum(len({RATES[name][LIGHT], lr}) for lr in RATES[name].values()))
    sent = {row["compression"]: row["MB"] for row in findings.rows}
    assert sent[STRONG] < sent[ACCORDION] < sent[LIGHT]
    (history, *_) = next(iter(findings.curves[name][ACCORDION].values()))
    assert len(history) == 7
    for metrics in history:
        levels = [metrics[f"level {i}"] for i in range(len(TENSORS))]
        assert metrics["tensors_compressed_lightly"] == sum(levels) / len(levels)
    assert history[0]["tensors_compressed_lightly"] == history[1]["tensors_compressed_lightly"] == 1


def test_the_levels_of_each_epoch() -> None:
    """The learning rate of 6 epochs drops with the fourth and the sixth of them, after what is measured before them."""
    history = [{"level 0": float(light)} for light in (1, 1, 0, 0, 1, 0, 1)]
    assert accordion.levels(history, 0) == [True, True, False, True, True, True]
    assert accordion.levels([], 0) == []


def test_a_run_that_diverged() -> None:
    assert accordion.accuracy([]) == 0 and math.isnan(accordion.megabytes([]))
