"""The study of Overlap Local-SGD, at a tiny size."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from gossip.errors import DivergedError
from gossip.reproduce.studies import overlap_local_sgd
from gossip.reproduce.studies.overlap_local_sgd import (
    LATE,
    METHODS,
    NODES,
    OVERLAP,
    PERIODS,
    SHARE,
    SPLITS,
    SYNCHRONOUS,
    MajorClass,
    run,
    schedule,
    seconds_when_some_are_late,
)
from gossip.reproduce.study import to_json


def test_most_images_of_a_node_are_of_one_class() -> None:
    labels = np.repeat(np.arange(10), 40)
    parts = MajorClass(share=0.64).assign(labels, 16, seed=0)
    assert sorted(np.concatenate(parts)) == list(range(400))
    for node, part in enumerate(parts):
        counts = np.bincount(labels[part], minlength=10)
        assert len(part) == 25
        assert counts[node % 10] >= 16
        assert np.argmax(counts) == node % 10
    assert not np.array_equal(parts[0], MajorClass(share=0.64).assign(labels, 16, seed=1)[0])
    uneven = MajorClass(share=0.5).assign(labels[:397], 16, seed=0)
    assert sorted(np.concatenate(uneven)) == list(range(397))


def test_synchronous_steps_take_as_long_as_the_last_node() -> None:
    """1/2 + 1/2 (1 + 1/2 + ... + 1/16) seconds on average, and the all-reduce."""
    wanted = 0.5 + 0.5 * sum(1 / k for k in range(1, NODES + 1)) + SHARE
    assert seconds_when_some_are_late(LATE[SYNCHRONOUS], 1, 400, 0) == pytest.approx(wanted, rel=0.05)


def test_the_learning_rate_grows_and_is_cut_twice() -> None:
    rates = [schedule(0.4, 60, 3)(t) for t in range(60)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[3:] == pytest.approx([0.4] * 27 + [0.04] * 20 + [0.004] * 10)


@pytest.fixture(scope="module")
def findings() -> Any:
    return run([0, 1], lambda text: None, steps=8, warm_up=2, batch=4, hidden=4, rates=(0.01, 0.1), late_steps=16)


def test_the_table_and_the_plot(findings: Any) -> None:
    assert len(findings.rows) == len(SPLITS) * (1 + len(PERIODS) * len(METHODS))
    assert {tuple(row) for row in findings.rows} == {tuple(findings.rows[0])}
    assert len(findings.claims) == 9
    assert all(claim.text and any(map(str.isdigit, claim.measured)) for claim in findings.claims)
    for row in findings.rows:
        curve = findings.curves[f"{row['data']}, {row['method']}, tau {row['tau']}"]
        tried = findings.curves["learning rates"][f"{row['method']}, tau {row['tau']}"]
        assert tried[row["learning rate"]] == max(tried.values())
        assert row["accuracy (%)"] == pytest.approx(np.mean(curve["accuracies"]))
        if row["method"] == SYNCHRONOUS:
            assert row["seconds"] == pytest.approx(8 * (1 + SHARE))
    assert json.loads(to_json(findings.record()))["table"]
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_wrong_results_are_noticed(findings: Any) -> None:
    late = {key: 1.0 for key in findings.curves["seconds of a step when some are late"]}
    good = [dict(row, **{"accuracy (%)": 90.0, "communication (%)": 1.0}) for row in findings.rows]
    for row in good:
        row["accuracy (%)"] -= 1.5 * (row["method"] not in (SYNCHRONOUS, OVERLAP))
    early = late | {f"{OVERLAP}, tau {tau}": 0.9 for tau in PERIODS}
    tuning = {(row["method"], row["tau"]): {0.01: row["accuracy (%)"]} for row in good}
    for row in good:
        row["learning rate"] = 0.01
    assert all(claim.holds for claim in overlap_local_sgd._claims(good, tuning, early))
    bad = [dict(row) for row in good]
    for row in bad:
        if row["method"] == OVERLAP:
            row["accuracy (%)"] -= 2.0
            row["communication (%)"] = 1.6
    tuning[OVERLAP, PERIODS[-1]] = {0.01: 88.5}
    assert not any(claim.holds for claim in overlap_local_sgd._claims(bad, tuning, late))


def test_what_diverges_counts_as_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: Any, **options: Any) -> None:
        raise DivergedError("the run diverged")

    monkeypatch.setattr("gossip.run", diverge)
    monkeypatch.setattr(overlap_local_sgd, "seconds_when_some_are_late", lambda *arguments: 1.0)
    findings = run([0], lambda text: None, rates=(0.1,), steps=10, warm_up=0, hidden=2)
    assert {row["accuracy (%)"] for row in findings.rows} == {0.0}
    findings.draw(Figure())
