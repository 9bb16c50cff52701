"""The study of asynchronous leader SGD at a tiny size, and that wrong results are noticed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from matplotlib.figure import Figure

from algorithms import AsynchronousLeaderSGD
from gossip.reproduce.studies import leader_sgd_async as study
from gossip.reproduce.studies.leader_sgd_async import (
    COMPLETION,
    DOWNPOUR,
    EASGD,
    GROUPS,
    LSGD,
    METHODS,
    ONE,
    PARALLEL,
    places,
)


def test_it_runs_at_a_tiny_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "best_rate", lambda train, rates, steps, score: (0.1, {0.1: 1.0}))
    said: list[str] = []
    findings = study.run([0], said.append, steps=4, hidden=4)
    rows = {(row["problem"], row["method"]): row for row in findings.rows}
    assert len(rows) == len(said) == 12
    assert rows[COMPLETION, LSGD]["pull"] == 0.1 and math.isnan(rows[COMPLETION, EASGD]["pull"])
    assert rows[GROUPS, PARALLEL]["seconds"] > 2 * rows[GROUPS, LSGD]["seconds"] > 0
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 3 and all(axes.has_data() for axes in figure.axes)
    json.dumps(findings.record())


def test_leaders_of_groups_come_four_times_in_a_period() -> None:
    where = places(10, 4)
    assert where[ONE].method(LSGD, 0.1, 0.5) == AsynchronousLeaderSGD(0.5, 16, 0.1, 0.1, momentum=0.9)
    several = AsynchronousLeaderSGD(0.5, 4, 0.1, 0.1, 4, 4, 0.1, 0.1, 0.9)
    assert where[GROUPS].method(LSGD, 0.1, 0.5) == several


def test_when_a_target_is_met_for_good() -> None:
    place = places(10, 4)[ONE]
    history = [
        {"simulated_seconds": float(at), "test_accuracy": value} for at, value in enumerate((0.1, 0.95, 0.8, 0.9, 0.9))
    ]
    assert place.seconds(history) == 3.0 and place.seconds(history[:3]) == place.seconds([]) == math.inf
    assert place.at_end(history) == pytest.approx(0.4 / 3) and place.at_end([]) == math.inf


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """Rows with which all claims hold, but for what is changed, by place and method."""
    return [
        {
            "problem": where,
            "method": name,
            "seconds to target": 1.0 if name == LSGD else 2.0,
            "at the end": {LSGD: 0.09, PARALLEL: 0.08}.get(name, 0.1),
        }
        | changed.get(f"{where} {name}", {})
        for where in (COMPLETION, ONE, GROUPS)
        for name in METHODS
    ]


@pytest.mark.parametrize(
    ("number", "changed"),
    [
        (None, {}),
        (0, {f"{COMPLETION} {DOWNPOUR}": {"seconds to target": 0.5}}),
        (1, {f"{ONE} {EASGD}": {"at the end": 0.08}}),
        (2, {f"{GROUPS} {DOWNPOUR}": {"at the end": 0.08}}),
        (3, {f"{ONE} {LSGD}": {"seconds to target": math.inf}}),
    ],
)
def test_wrong_results_are_noticed(number: int | None, changed: dict[str, dict[str, float]]) -> None:
    assert [claim.holds for claim in study._claims(table(**changed))] == [each != number for each in range(4)]
