"""The study of AD-PSGD with a slow node, at a tiny size and without ranks, and what starts these."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from gossip.errors import UsageError
from gossip.reproduce import one_slow_rank
from gossip.reproduce.one_slow_rank import AD_PSGD, ALL_REDUCE, D_PSGD, METHODS, SWARM, Slowed, on_ranks, train
from gossip.reproduce.studies import adpsgd as study
from gossip.workloads import Digits


def pretended(ranks: int, trainings: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Synchronous trainings wait for the slow rank, and the others compute one gradient in a hundred more."""
    return [
        {
            "seconds": 10.0 if each["slow"] is not None and each["name"] in study.SYNCHRONOUS else 1.01,
            "gradients": each["steps"] * 1.01,
            "accuracy": 0.8,
        }
        for each in trainings
    ]


def test_it_runs_at_a_tiny_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "on_ranks", pretended)
    monkeypatch.setattr(study, "best_rate", lambda train, rates, steps: (0.2, {}))
    findings = study.run([0], lambda text: None, steps=10, on_each_rank=3, target=0.4)
    rows = {(row["where"], row["method"], row["slow node"]): row for row in findings.rows}
    assert len(rows) == 10 + 12
    assert rows["clock", AD_PSGD, "asks"]["times as long"] < 1.5 < 4 < rows["clock", D_PSGD, "asks"]["times as long"]
    assert rows["ranks", SWARM, "answers"]["times as long"] == pytest.approx(1)
    assert rows["ranks", SWARM, "answers"]["seconds"] == pytest.approx(1)
    assert rows["ranks", ALL_REDUCE, "answers"]["times as long"] == pytest.approx(10 / 1.01)
    assert [claim.holds for claim in findings.claims[-3:]] == [True] * 3
    json.dumps(findings.record())


def table(**changes: float) -> list[dict[str, Any]]:
    """What would hold, but for some ratios or the accuracy of AD-PSGD."""
    rows = []
    for where in ("clock", "ranks"):
        for name in METHODS:
            for speeds in ("none", "asks", "answers"):
                slow = speeds != "none"
                ratio = (8.0 if name in study.SYNCHRONOUS else 1.1) if slow else 1.0
                rows.append(
                    {
                        "where": where,
                        "method": name,
                        "slow node": speeds,
                        "times as long": changes.get(f"{where} {name} {speeds}", ratio),
                        "seconds to target": ratio,
                        "accuracy": changes.get("accuracy", 0.9) if name == AD_PSGD else 0.9,
                    }
                )
    return rows


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (None, {}),
        (0, {f"clock {AD_PSGD} answers": 2.0}),
        (1, {f"clock {D_PSGD} asks": 2.0}),
        (3, {"accuracy": 0.85}),
        (4, {f"ranks {AD_PSGD} answers": 5.0}),
        (5, {f"ranks {SWARM} asks": 5.0}),
        (6, {f"ranks {ALL_REDUCE} asks": 1.5}),
    ],
)
def test_wrong_results_are_noticed(number: int | None, changes: dict[str, float]) -> None:
    holds = [claim.holds for claim in study._claims(table(**changes), 0.88)]
    assert holds == [each != number for each in range(7)]


def test_a_target_that_is_not_reached_is_never_reached() -> None:
    history = [{"simulated_seconds": float(i), "test_accuracy": 0.1 * i} for i in range(5)]
    assert study.seconds_to(history, 0.25) == 3 and study.seconds_to(history, 0.9) == math.inf
    assert math.isnan(study.last([], "test_accuracy"))


def test_gradients_take_their_time_and_those_of_the_slow_node_more() -> None:
    shards = Slowed(Digits(hidden=4), seconds=0.01, node=1, slowdown=5.0).shard(2, 0)
    x = shards.initial()[None]
    took = []
    for node in (0, 1):
        began = time.perf_counter()
        sample = shards.gradient(x, [node], torch.zeros(1, 2, dtype=torch.int64))
        took.append(time.perf_counter() - began)
        assert sample.gradient.norm() > 0
    assert took[0] >= 0.01 and took[1] >= 0.05


@pytest.mark.parametrize("name", METHODS)
def test_a_training_tells_how_long_it_took(name: str) -> None:
    found = train(name, 0.1, None, ranks=2, steps=2, batch=4, seed=0)
    assert found["gradients"] == 2 and found["seconds"] > 0 and 0 <= found["accuracy"] <= 1


def test_ranks_that_fail_or_cannot_be_started_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], 7, stdout="", stderr="first\nthe last word\n")
    monkeypatch.setattr(one_slow_rank.subprocess, "run", lambda *_, **__: ended)
    monkeypatch.setattr(one_slow_rank.shutil, "which", lambda name: "/somewhere/mpirun")
    with pytest.raises(UsageError, match=r"the 2 ranks that .*mpirun has started failed \(the last word\)"):
        on_ranks(2, [])
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(one_slow_rank.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"needs mpirun, and there is none; install it with: .*gossip-mpi\[mpich\]"):
        on_ranks(2, [])
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    with pytest.raises(UsageError, match="starts its ranks itself, so it must be one process; start it without mpirun"):
        on_ranks(2, [])
