"""The study of learned gradient compression: its parts, wrong results, and all of it at a tiny size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from gossip.reproduce.studies.lgc import (
    ALL_REDUCE,
    DGC,
    FROZEN,
    NODES,
    SERVER,
    SGD,
    WHOLE,
    WHOLE_VALUES,
    Frozen,
    Phases,
    accuracy,
    claims,
    contenders,
    lost,
    problem,
    run,
    traffic,
)

LOST = "share_lost_by_autoencoder"
TINY = Phases(dense=2, training=2, codes=2, every=2)


def test_the_layers_are_divided_as_in_the_paper() -> None:
    shards = problem(0)
    algorithm: Any = contenders(TINY)[ALL_REDUCE].for_layout(shards.layout)
    places = algorithm.places(shards.layout.d)
    assert (places.dense, places.coded, places.sparse) == (slice(0, 80), slice(80, 5888), slice(5888, 7178))
    x, nodes = shards.initial().repeat(NODES, 1), range(NODES)
    whole, part = (each.gradient(x, nodes).gradient for each in (shards, Frozen(shards, places.coded)))
    assert not part[:, places.coded].any() and whole[:, places.coded].any()
    assert torch.equal(part[:, places.sparse], whole[:, places.sparse])


def test_what_is_measured() -> None:
    phases = Phases(dense=10, training=20, codes=20)
    history = [
        {"step": step, "test_accuracy": step / 100, "bytes_sent_per_node": 1e3 * step**2, LOST: share}
        for step, share in zip(range(0, 60, 10), (9.0, 9.0, 0.5, 0.7, 9.0, 9.0), strict=True)
    ]
    assert accuracy(history) == pytest.approx(0.3) and accuracy([]) == 0
    assert lost(history, phases) == pytest.approx(0.6)
    assert traffic(history, ALL_REDUCE, phases) == pytest.approx((50**2 - 30**2) / 20 * NODES)
    assert traffic(history, SERVER, phases) == pytest.approx((50**2 - 30**2) / 20 * (NODES + 1))
    assert math.isnan(traffic(history, FROZEN, phases)) and math.isnan(traffic([], SGD, phases))


ROWS = {
    SGD: {"accuracy": 0.98, "kB per iteration": 170.0},
    DGC: {"accuracy": 0.98, "kB per iteration": 9.0},
    ALL_REDUCE: {"accuracy": 0.975, "kB per iteration": 5.0, "share lost": 0.9},
    SERVER: {"accuracy": 0.975, "kB per iteration": 13.0},
    FROZEN: {"accuracy": 0.975},
    WHOLE: {"accuracy": 0.5},
    WHOLE_VALUES: {"accuracy": 0.9},
}


@pytest.mark.parametrize(
    ("method", "column", "value", "which"),
    [
        (ALL_REDUCE, "accuracy", 0.95, {0, 3}),
        (SERVER, "accuracy", 0.95, {0}),
        (ALL_REDUCE, "kB per iteration", 9.5, {1}),
        (DGC, "kB per iteration", 4.5, {1}),
        (ALL_REDUCE, "share lost", 0.4, {2}),
        (FROZEN, "accuracy", 0.8, {3}),
        (WHOLE, "accuracy", 0.89, {4}),
    ],
)
def test_wrong_results_are_noticed(method: str, column: str, value: float, which: set[int]) -> None:
    good: list[dict[str, Any]] = [{"method": name, "kB per iteration": 1.0, **row} for name, row in ROWS.items()]
    bad = [{**row, **({column: value} if row["method"] == method else {})} for row in good]
    assert all(claim.holds for claim in claims(good))
    assert {i for i, claim in enumerate(claims(bad)) if not claim.holds} == which


def test_all_of_it() -> None:
    findings = run([0], lambda text: None, phases=TINY)
    assert [row["method"] for row in findings.rows] == [*contenders(TINY), FROZEN]
    assert all(len(history) == 4 for history in findings.curves.values())
    rows = {row["method"]: row for row in findings.rows}
    assert rows[SGD]["kB per iteration"] == pytest.approx(2 * (NODES - 1) * 4 * 7178 / 1000)
    assert rows[ALL_REDUCE]["kB per iteration"] < 0.1 * rows[SGD]["kB per iteration"]
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)
