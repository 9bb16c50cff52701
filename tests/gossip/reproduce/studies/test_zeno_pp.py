"""The study of hostile workers of an asynchronous server, at a tiny size."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from gossip.reproduce.studies import zeno_pp
from gossip.reproduce.studies.zeno_pp import ASYNC, ATTACKS, HONEST, METHODS, PS, ZENO


def test_the_table_and_the_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    attacks = {attack: ATTACKS[attack] for attack in (HONEST, "labels", "noise")}
    monkeypatch.setattr(zeno_pp, "RATES", (0.05,))
    monkeypatch.setattr(zeno_pp, "ATTACKS", attacks)
    findings = zeno_pp.run([0], lambda text: None, steps=12, hidden=2)
    assert [row["method"] for row in findings.rows] == list(METHODS)
    for row in findings.rows:
        assert list(findings.curves["tuning"][row["method"]]) == [0.05]
        assert [row[attack] for attack in attacks] == [findings.curves[row["method"]][attack][0] for attack in attacks]
    sent = {row["method"]: row["MB"] for row in findings.rows}
    assert sent[ASYNC] > 2 * sent[PS] > 0
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes[0].patches) == len(METHODS) * len(attacks)


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """What is claimed, but for some numbers of some methods."""
    rows: dict[str, dict[str, float]] = {name: dict.fromkeys(ATTACKS, 0.88) for name in METHODS}
    rows[ASYNC] = dict.fromkeys(ATTACKS, 0.2)
    for row in rows.values():
        row |= {HONEST: 0.92, "MB": 100.0}
    rows[PS]["MB"] = 20.0
    names = {"sgd": ASYNC, "zeno": ZENO, "ps": PS}
    for name, numbers in changed.items():
        rows[names[name]] |= numbers
    return [{"method": name} | row for name, row in rows.items()]


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({}, None),
        ({"sgd": {"noise": 0.6}}, 0),
        ({"zeno": {"labels": 0.81}}, 1),
        ({"ps": {"10 x signs": 0.81}}, 2),
        ({"ps": {"MB": 26.0}}, 2),
        ({"zeno": {HONEST: 0.86}}, 3),
    ],
)
def test_wrong_results_are_noticed(changed: dict[str, dict[str, float]], failing: int | None) -> None:
    assert [claim.holds for claim in zeno_pp._claims(table(**changed))] == [i != failing for i in range(4)]
