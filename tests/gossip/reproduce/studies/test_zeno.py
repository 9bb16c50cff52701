"""The study of hostile workers, at a tiny size."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from gossip.reproduce.studies import zeno
from gossip.reproduce.studies.zeno import ATTACKS, FEW, HONEST, LITTLE, MANY, MEAN, METHODS, PS


def test_the_table_and_the_plot() -> None:
    findings = zeno.run([0], lambda text: None, steps=4, hidden=2, rates=(0.1,))
    assert zeno.STUDY.seeds == 3
    assert [row["method"] for row in findings.rows] == list(METHODS)
    for row in findings.rows:
        tried = findings.curves["tuning"][row["method"]]
        assert list(tried) == [0.1] and tried[row["lr"]] == max(tried.values())
        assert [row[attack] for attack in ATTACKS] == [findings.curves[row["method"]][attack][0] for attack in ATTACKS]
    sent = {row["method"]: row["kB"] for row in findings.rows}
    assert sent[MEAN] == sent[FEW] == sent[MANY] > 2 * sent[PS]
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes[0].patches) == len(METHODS) * len(ATTACKS)


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """What is claimed, but for some numbers of some methods."""
    good: dict[str, dict[str, float]] = {name: dict.fromkeys(ATTACKS, 0.93) for name in METHODS}
    good[MEAN] = dict.fromkeys(ATTACKS, 0.5)
    for row in good.values():
        row |= {HONEST: 0.95, "kB": 100.0}
    good[FEW][LITTLE] = 0.8
    good[PS]["kB"] = 20.0
    names = {"mean": MEAN, "few": FEW, "ps": PS}
    for name, numbers in changed.items():
        good[names[name]] |= numbers
    return [{"method": name} | row for name, row in good.items()]


def test_what_is_claimed() -> None:
    assert [claim.holds for claim in zeno._claims(table())] == [True] * 4


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"mean": {"noise": 0.9}}, 0),
        ({"few": {"labels": 0.49}}, 1),
        ({"ps": {"10 x signs": 0.89}}, 2),
        ({"ps": {"kB": 26.0}}, 2),
        ({"few": {LITTLE: 0.9}}, 3),
        ({"ps": {LITTLE: 0.89}}, 3),
    ],
)
def test_wrong_results_are_noticed(changed: dict[str, dict[str, float]], failing: int) -> None:
    assert [claim.holds for claim in zeno._claims(table(**changed))] == [i != failing for i in range(4)]
