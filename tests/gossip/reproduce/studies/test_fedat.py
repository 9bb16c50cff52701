"""The study of FedAT, at a tiny size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gossip.reproduce.studies import fedat as study
from gossip.reproduce.studies.fedat import STUDY, Pieces, accuracies, beyond, claims, methods, paces, reached, run


def test_clients_have_two_pieces_of_sorted_examples() -> None:
    labels = np.repeat(np.arange(10), 40)
    parts = Pieces().assign(labels, 20, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(400))
    assert all(len(part) == 20 and len({*labels[part].tolist()}) <= 2 for part in parts)


def test_rounds_take_as_long_as_their_band_says() -> None:
    network = paces(10, local_steps=4, seed=5)
    steps = np.stack([network.nanoseconds(10, seed=0, step=step) for step in range(400)]) / 1e9
    rounds = steps.reshape(100, 4, 10).sum(axis=1)
    for client in range(10):
        low, high = study.BANDS[client % 5]
        assert (rounds[:, client] >= study.ROUND + low - 1e-6).all() and (
            rounds[:, client] <= study.ROUND + high + 1e-6
        ).all()
        assert rounds[:, client].std() > 0 or low == high


def test_when_a_target_is_reached() -> None:
    history = [{"seconds": 10.0 * i, "bytes": 1e6 * i, "test_accuracy": [0, 0.9, 0, 0.6, 0.6][i]} for i in range(5)]
    assert accuracies(history) == pytest.approx([0, 0.45, 0.3, 0.5, 0.4])
    assert reached(history, 0.5, "seconds") == 30 and reached(history, 0.5, "bytes") == 3e6
    assert reached(history, 0.7, "seconds") == math.inf


def test_rates_beyond_the_ends() -> None:
    def tried(*scores: float) -> list[dict[str, float]]:
        return [{"lr": lr, "score": score} for lr, score in zip((0.003, 0.01, 0.03), scores, strict=True)]

    assert beyond(tried(1, 2, 1)) == []
    assert beyond(tried(3, 2, 1)) == [0.001] and beyond(tried(1, 2, 3)) == [0.09]


def test_the_table_and_the_claims() -> None:
    assert STUDY.seeds == 3
    findings = run([0], lambda text: None, clients=10, taking_part=1, seconds=40.0, local_steps=2, hidden=4)
    assert [row["method"] for row in findings.rows] == list(methods(1, 2))
    rows = {row["method"]: row for row in findings.rows}
    dense = 4 * (784 * 4 + 4 + 4 * 10 + 10)
    sent = 1e6 * rows[study.FEDASYNC]["MB in all"] / dense
    assert sent == round(sent) > 10
    assert rows[study.FEDAT]["MB in all"] < 0.7 * rows[study.UNCODED]["MB in all"]
    for name in (study.UNCODED, study.UNIFORM):
        assert rows[name]["lr"] == rows[study.FEDAT]["lr"]
    assert {len(tried) >= 3 for tried in findings.curves["tuning"].values()} == {True}
    assert len(findings.claims) == 6


def test_wrong_results_are_noticed() -> None:
    names = [name for name in methods(1, 1) if not name.endswith("decimals")]
    good = {name: {"seconds": [200.0], "bytes": [30e6], "all bytes": [90e6], "accuracy": [0.6]} for name in names}
    good[study.FEDAT] = {"seconds": [150.0], "bytes": [20e6], "all bytes": [60e6], "accuracy": [0.79]}
    good[study.UNCODED] = {"seconds": [150.0], "bytes": [40e6], "all bytes": [120e6], "accuracy": [0.8]}
    good[study.UNIFORM] = {"seconds": [100.0], "bytes": [25e6], "all bytes": [120e6], "accuracy": [0.85]}
    good[study.CODED]["bytes"] = [15e6]
    assert [claim.holds for claim in claims(good, 0.5)] == [True] * 6

    def failing(name: str, key: str, value: float) -> list[int]:
        bad = {each: dict(found) for each, found in good.items()}
        bad[name][key] = [value]
        return [i for i, claim in enumerate(claims(bad, 0.5)) if not claim.holds]

    assert failing(study.TIFL, "seconds", 140.0) == [0]
    assert failing(study.FEDPROX, "accuracy", 0.795) == [1]
    assert failing(study.FEDASYNC, "bytes", 19e6) == [2]
    assert failing(study.CODED, "bytes", 21e6) == [3]
    assert failing(study.FEDASYNC, "bytes", 41e6) == [3]
    assert failing(study.FEDAT, "accuracy", 0.77) == [4]
    assert failing(study.FEDAT, "all bytes", 130e6) == [4]
    assert failing(study.UNIFORM, "accuracy", 0.79) == [5]
    assert failing(study.FEDAT, "seconds", math.inf) == [0]
