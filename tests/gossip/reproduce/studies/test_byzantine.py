"""The study of hostile nodes, at a tiny size."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from gossip.reproduce.studies import byzantine
from gossip.reproduce.studies.byzantine import (
    BACKDOORS,
    BUCKETS,
    CLIPPED,
    EXPANDER,
    HARMFUL,
    HIT,
    HONEST,
    KRUM,
    KRUM_BUCKETS,
    LITTLE,
    MEAN,
    MEDIAN,
    MIMIC,
    MIXED,
    MIXING,
    ON_GRAPHS,
    OTHER_DATA,
    RING,
    RULES,
    SAME_DATA,
    SIGNS,
    scores,
)


def test_accuracy_at_the_end() -> None:
    assert scores([[{"test_accuracy": 0.1 * i} for i in range(8)], []]) == pytest.approx([0.6, 0.1])


def test_the_table_and_the_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few rules, attacks and graphs; an accuracy of the table is that of a run."""
    monkeypatch.setattr(byzantine, "RULES", {MEAN: RULES[MEAN]})
    monkeypatch.setattr(byzantine, "MIXING", {MEDIAN: MIXING[MEDIAN]})
    monkeypatch.setattr(byzantine, "SAME_DATA", (HONEST, HARMFUL[-1]))
    monkeypatch.setattr(byzantine, "OTHER_DATA", (HONEST, MIMIC))
    monkeypatch.setattr(byzantine, "ON_GRAPHS", [(RING, CLIPPED, "data differ")])
    monkeypatch.setattr(byzantine, "BACKDOORS", {MEAN: BACKDOORS[MEAN]})
    monkeypatch.setattr(byzantine, "_claims", lambda table: [])
    findings = byzantine.run([0], lambda text: None, steps=10, hidden=2)
    filled = {row["case"]: [name for name, value in row.items() if isinstance(value, float)] for row in findings.rows}
    assert filled == {
        "same data: mean": [HONEST, HARMFUL[-1]],
        "data differ: median": [HONEST, MIMIC],
        "ring, data differ: clipped gossip": [HONEST, SIGNS],
        "backdoor: mean": ["backdoor", HIT],
    }
    for row in findings.rows:
        assert {name: [row[name]] for name in filled[row["case"]]} == findings.curves[row["case"]]
    figure = Figure()
    findings.draw(figure)
    assert [len(axes.patches) for axes in figure.axes] == [2, 2]


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """What is claimed, but for some numbers of some cases."""
    rows: dict[str, dict[str, float]] = {f"same data: {name}": dict.fromkeys(SAME_DATA, 0.9) for name in RULES}
    rows[f"same data: {MEAN}"] |= dict.fromkeys(HARMFUL, 0.1)
    under = {MEAN: 0.9, MEDIAN: 0.6, BUCKETS: 0.7, MIXED: 0.8, KRUM: 0.3, KRUM_BUCKETS: 0.5}
    rows |= {f"data differ: {name}": dict.fromkeys(OTHER_DATA, under[name]) for name in MIXING}
    rows |= {
        f"{graph}, {data}: {name}": {HONEST: 0.9, SIGNS: 0.8 if graph == EXPANDER else 0.7}
        for graph, name, data in ON_GRAPHS
    }
    rows |= {f"backdoor: {name}": {HIT: 0.9 if name == MEAN else 0.05} for name in BACKDOORS}
    names = {
        "mean": "same data: mean",
        "trimmed": "same data: trimmed mean",
        "choosing": "same data: multi-Krum",
        "median": "data differ: median",
        "mixed": f"data differ: {MIXED}",
        "buckets": f"data differ: {BUCKETS}",
        "krum": f"data differ: {KRUM_BUCKETS}",
        "ring": f"ring, same data: {CLIPPED}",
        "backdoor": "backdoor: mean",
        "kept_out": "backdoor: median",
    }
    for name, numbers in changed.items():
        rows[names[name]] |= numbers
    return [{"case": name} | row for name, row in rows.items()]


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({}, None),
        ({"mean": {HARMFUL[2]: 0.85}}, 0),
        ({"trimmed": {LITTLE: 0.83}}, 1),
        ({"choosing": {LITTLE: 0.87}}, 1),
        ({"median": {MIMIC: 0.85}}, 2),
        ({"mixed": {SIGNS: 0.72}}, 2),
        ({"buckets": {MIMIC: 0.55}}, 2),
        ({"krum": {HONEST: 0.2}}, 3),
        ({"ring": {SIGNS: 0.85}}, 4),
        ({"backdoor": {HIT: 0.3}}, 5),
        ({"kept_out": {HIT: 0.3}}, 5),
    ],
)
def test_wrong_results_are_noticed(changed: dict[str, dict[str, float]], failing: int | None) -> None:
    assert [claim.holds for claim in byzantine._claims(table(**changed))] == [i != failing for i in range(6)]
