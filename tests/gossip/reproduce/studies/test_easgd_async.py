"""The study of asynchronous elastic averaging at a tiny size, and that wrong results are noticed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from matplotlib.figure import Figure

from gossip.reproduce.studies import easgd_async as study
from gossip.reproduce.studies.easgd_async import ASYNCHRONOUS, DOWNPOUR, EAMSGD, EASGD, PARALLEL, PERIODS


def test_it_runs_at_a_tiny_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "best_rate", lambda train, rates, steps: (0.1, {0.1: 1.0}))
    said: list[str] = []
    findings = study.run([0], said.append, steps=4)
    rows = {(row["method"], row["period"]): row for row in findings.rows}
    assert len(rows) == len(said) == 10
    sent = [rows[EASGD, period]["MB per node"] for period in PERIODS]
    assert sent[0] > 2 * sent[1] == 2 * sent[2] > 0  # with long periods they exchange at the start alone
    assert rows[PARALLEL, 1]["seconds"] > 2 * rows[EASGD, 1]["seconds"]
    figure = Figure()
    findings.draw(figure)
    assert [len(axes.lines) for axes in figure.axes] == [4, 4, 4]
    json.dumps(findings.record())


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """Rows with which all claims hold, but for what is changed, by method and period."""
    rows = []
    for name in (*ASYNCHRONOUS, PARALLEL):
        for period in PERIODS if name in ASYNCHRONOUS else (1,):
            failing = name == DOWNPOUR and period > 1
            usual = {"accuracy": 0.5 if failing else 0.9, "seconds": 9.0 if name == PARALLEL else 3.0}
            rows.append({"method": name, "period": period} | usual | changed.get(f"{name} {period}", {}))
    return rows


@pytest.mark.parametrize(
    ("number", "changed"),
    [
        (None, {}),
        (0, {f"{EASGD} 64": {"accuracy": 0.84}, f"{EAMSGD} 64": {"accuracy": 0.9}}),
        (1, {f"{DOWNPOUR} 16": {"accuracy": 0.87}}),
        (2, {f"{EAMSGD} 16": {"accuracy": 0.89}}),
        (3, {f"{PARALLEL} 1": {"seconds": 5.0}}),
    ],
)
def test_wrong_results_are_noticed(number: int | None, changed: dict[str, dict[str, float]]) -> None:
    assert [claim.holds for claim in study._claims(table(**changed))] == [each != number for each in range(4)]


def test_what_diverged_guesses() -> None:
    row = study.row(DOWNPOUR, 64, 0.1, [[]])
    assert row["accuracy"] == 0.1 and row["seconds"] == math.inf
