"""The study of AdaComm, at a tiny size, and what it makes of wrong results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from gossip.errors import DivergedError
from gossip.network import Communicator, connect
from gossip.reproduce.studies import adacomm
from gossip.reproduce.studies.adacomm import (
    ADACOMM,
    FIXED,
    NODES,
    RATIO,
    SYNCHRONOUS,
    clock,
    loss_at,
    run,
    time_to,
    workload,
)
from topologies import complete

HISTORY = [
    {"simulated_seconds": 0.0, "test_loss": 4.0},
    {"simulated_seconds": 10.0, "test_loss": 2.0},
    {"simulated_seconds": 20.0, "test_loss": 3.0},
    {"simulated_seconds": 40.0, "test_loss": 1.0},
]


def test_losses_and_times_are_on_the_line_between_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adacomm, "AVERAGED", 1)
    assert loss_at(HISTORY, 5.0) == 3.0 and loss_at(HISTORY, 30.0) == 2.0
    assert time_to(HISTORY, 3.0) == 5.0 and time_to(HISTORY, 2.0) == 10.0 and time_to(HISTORY, 1.5) == 35.0
    assert time_to(HISTORY, 0.5) == loss_at([], 1.0) == time_to([], 1.0) == math.inf


def test_losses_are_averaged() -> None:
    times, losses = adacomm.smooth(HISTORY)
    assert times == [0.0, 10.0, 20.0, 40.0] and losses == [4.0, 3.0, 3.0, 2.0]
    assert loss_at(HISTORY, 40.0) == 2.0 and time_to(HISTORY, 2.5) == 30.0


def test_the_clock_has_the_ratio_of_communication_to_computation() -> None:
    d = 1000
    network = connect(complete(NODES), Communicator(), clock=clock(d))
    network.finish_gradients(0)
    assert network.seconds == pytest.approx(1.0)
    network.mean(torch.zeros(NODES, d))
    assert network.seconds == pytest.approx(1.0 + RATIO)
    assert adacomm.steps_within(500, 1) == 100 and adacomm.steps_within(480, 20) == 400


def test_the_loss_is_that_of_training_images() -> None:
    shards = workload("mlp", 0, measured=3)
    x = shards.initial()
    wanted = [shards.gradient(x[None], [node], torch.arange(3)[None]).loss for node in range(NODES)]
    assert shards.evaluate(x)["test_loss"] == pytest.approx(float(torch.cat(wanted).mean()))


def test_the_table_and_the_claim() -> None:
    said: list[str] = []
    findings = run([0], said.append, model="mlp", steps=8, measured=5, points=4, rates=(0.01, 0.1))
    assert [row["method"] for row in findings.rows] == [*FIXED, ADACOMM]
    assert len(said) == 3 * (2 + 1) + (4 + 1)
    for row in findings.rows:
        tried = findings.curves["tuning"][row["method"]]
        assert len(tried) == (4 if row["method"] == ADACOMM else 2)
        assert row["learning rate"] in (0.01, 0.1)
    synchronous = findings.curves[SYNCHRONOUS]
    assert synchronous["losses"][0][-1][0] == pytest.approx(8 * (1 + RATIO)) == findings.curves["seconds"]
    assert findings.rows[0]["times faster"] >= 1
    assert findings.curves[ADACOMM]["periods"][0][0] == adacomm.START
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_half_the_time_is_the_most() -> None:
    for times, holds in (([40.0, 60.0], True), ([50.0, 51.0], False), ([10.0, math.inf], False)):
        (claim,) = adacomm._claims({"seconds": 100.0, ADACOMM: {"to synchronous": times}})
        assert claim.holds == holds
        assert f"{np.mean(times) / 100:.2f}" in claim.measured


def test_what_diverges_is_never_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: Any, **options: Any) -> None:
        raise DivergedError("the run diverged")

    monkeypatch.setattr("gossip.run", diverge)
    findings = run([0], lambda text: None, model="mlp", steps=4, rates=(0.1,))
    assert not findings.claims[0].holds
    findings.draw(Figure())
