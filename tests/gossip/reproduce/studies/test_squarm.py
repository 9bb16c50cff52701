"""The study of SQuARM-SGD, at a tiny size."""

from __future__ import annotations

import math

import pytest

from gossip.reproduce.studies.squarm import STUDY, accuracy, kilobits, last, methods, run


def test_bits_until_the_target() -> None:
    history = [{"bytes_sent_per_node": 1000.0 * i, "test_accuracy": 0.1 * i} for i in range(8)]
    assert kilobits(history, 0.55) == 48.0
    assert kilobits(history, 0.0) == 0.0
    assert kilobits(history, 0.9) == math.inf


def test_accuracy_at_the_end() -> None:
    history = [{"test_accuracy": 0.1 * i} for i in range(8)]
    assert accuracy(history) == pytest.approx(0.5)
    assert accuracy([]) == 0
    assert math.isnan(last([], "share_fired")) and last(history, "share_fired") == 1


def test_the_table_and_the_claims() -> None:
    assert STUDY.seeds == 3
    findings = run([0], lambda text: None, target=0.2, steps=10, fraction=0.02, hidden=4)
    assert [row["method"] for row in findings.rows] == list(methods(0.02, 10)) == list(findings.curves["tuning"])
    in_all = {row["method"]: float(row["kbit in all"]) for row in findings.rows}
    for row in findings.rows:
        tried = findings.curves["tuning"][row["method"]]
        assert row["accuracy"] == max(tried.values()) and row["gamma"] in (*tried, "-")
        assert tried.get(row["gamma"], row["accuracy"]) == row["accuracy"]
    d = 784 * 4 + 4 + 4 * 10 + 10
    assert in_all["D-PSGD"] == in_all["D-PSGD, momentum"] == 8e-3 * 10 * 2 * 4 * d
    assert in_all["SQuARM"] <= in_all["SPARQ"] < in_all["CHOCO, sign of top 1 %"] < in_all["CHOCO, top 1 %"]
    assert len(findings.claims) == 3
