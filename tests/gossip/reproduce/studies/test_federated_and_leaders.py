"""The studies of FedMom, LSGD and CLARS, at sizes too small to prove anything; and that wrong results are noticed."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import gossip
import topologies
from algorithms import LeaderSGD, LocalSGD, Minibatch
from gossip.reproduce.studies import clars, fedmom, leader_sgd
from gossip.reproduce.study import Findings
from gossip.workloads import Mnist


def complete(findings: Findings, lines: int) -> None:
    """Every line of the table has the same columns, every claim its numbers, and the plot can be drawn."""
    assert len(findings.rows) == lines
    assert {tuple(row) for row in findings.rows} == {tuple(findings.rows[0])}
    assert all(claim.text and claim.measured for claim in findings.claims)
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_fedmom(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RATES": (0.05, 0.5), "MUS": (0.1,), "EVERY": 2, "OPTIMUM_STEPS": 20}.items():
        monkeypatch.setattr(fedmom, name, value)
    sizes = {"clients": 6, "taking_part": 2, "rounds": 6, "local_steps": 2, "batch": 4, "hidden": 4}
    findings = fedmom.run([0, 1], lambda text: None, target=0.05, **sizes)
    complete(findings, 4)
    assert len(findings.claims) == 6
    for row in findings.rows:
        curve = findings.curves[row["method"]]
        assert [len(each) for each in curve["histories"]] == [4, 4]
        assert row["accuracy (%)"] == pytest.approx(100 * np.mean(curve["test_accuracy"]))
        best = min(findings.curves["tuning"][row["method"]], key=lambda each: each["loss"])
        assert row["local rate"] == best["lr"]
    assert len(findings.curves["cosines"]) == 3 and all(-1 <= each <= 1 for each in findings.curves["cosines"])


def test_wrong_results_of_fedmom_are_noticed() -> None:
    good = {"rounds": [10, 12], "train_loss": [0.3, 0.3], "test_accuracy": [0.9, 0.9]}
    bad = {"rounds": [20, 30], "train_loss": [0.4, 0.4], "test_accuracy": [0.9, 0.8]}
    curves: dict[str, Any] = {name: bad for name in (fedmom.FEDAVG, fedmom.FEDPROX, fedmom.FEDSGD)}
    curves |= {fedmom.FEDMOM: good, "cosines": [0.1, 0.2]}
    assert all(claim.holds for claim in fedmom._claims(curves, 0.9))
    curves |= {fedmom.FEDMOM: bad, fedmom.FEDAVG: good, "cosines": [-0.1, 0.05]}
    assert [claim.holds for claim in fedmom._claims(curves, 0.9)] == [False] * 6
    curves[fedmom.FEDMOM] = curves[fedmom.FEDAVG] = {**good, "rounds": [math.inf, 20]}
    assert not any(claim.holds for claim in fedmom._claims(curves, 0.9)[:1])


def test_a_target_is_reached_by_the_mean_of_some_rounds() -> None:
    history = [{"test_accuracy": value, "test_loss": 1 - value} for value in (0.1, 0.9, 0.1, 0.8, 0.8, 0.8, 0.8)]
    assert fedmom.averaged([1.0, 3.0, 5.0]).tolist() == [1, 2, 3]
    assert fedmom.rounds_to(history, 0.65) == 5 * fedmom.EVERY
    assert fedmom.rounds_to(history, 0.9) == fedmom.rounds_to([], 0.1) == math.inf
    assert fedmom.mean_over([history, history[:1]], "test_accuracy") == pytest.approx(4.4 / 8)
    diverged = [history, []]
    assert fedmom.mean_over(diverged, "test_loss") == math.inf and fedmom.mean_over(diverged, "test_accuracy") == 0


def test_cosines_are_those_of_the_pseudo_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedmom, "EVERY", 1)
    shards = Mnist(hidden=4).shard(3, 0)
    optimum = torch.randn(shards.layout.d, generator=torch.Generator().manual_seed(0))
    options = {"lr": 0.1, "server_lr": 0.5, "local_steps": 2}
    history = fedmom.train(shards, 3, fedmom.Watched(**options, optimum=optimum), Minibatch(4), 2, 0)
    w = shards.initial()
    for metrics in history[1:]:
        u = torch.stack([w] * 3)
        step = int(metrics["step"]) - 2
        for t in (step, step + 1):
            oracle = Minibatch(4)
            u = u - 0.1 * oracle.sample(oracle.start(shards, u, range(3), 0), shards, u, range(3), t, 0).gradient
        g = w - u.mean(dim=0)
        expected = torch.nn.functional.cosine_similarity(g, w - optimum, dim=0)
        assert metrics["cosine"] == pytest.approx(float(expected), abs=1e-4)
        w = w - 0.5 * g


def test_leader_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader_sgd, "EVALUATIONS", 4)
    findings = leader_sgd.run([0], lambda text: None, size=8, hidden=4, steps=8)
    complete(findings, 10)
    assert len(findings.claims) == 8
    for row in findings.rows:
        curve = findings.curves[row["problem"]][row["method"]]
        assert row["at the end"] == pytest.approx(np.mean(curve["end"]))
        assert len(curve["values"][0]) == 5
    sent = {(row["problem"], row["method"]): row["kB sent per worker"] for row in findings.rows}
    # In 6 periods a vector up and down the 7 edges of a tree, with EASGD once at the start; with LSGD the leader's
    # vector and 8 losses go over each of the edges once.
    way = 1e-3 * 2 * 7 / 8 * 8
    assert sent[leader_sgd.COMPLETION, leader_sgd.FAST] == pytest.approx(7 * way * 24)
    assert sent[leader_sgd.COMPLETION, leader_sgd.LSGD] == pytest.approx(6 * way / 2 * (24 + 8))


def test_groups_follow_their_leaders_more_often() -> None:
    landscape = leader_sgd.landscapes(8, 4, 8)[leader_sgd.PERCEPTRON]
    groups = landscape.methods()[leader_sgd.GROUPS].make(0.1, 0.2)
    assert isinstance(groups, LeaderSGD)
    assert (groups.groups, groups.period, groups.global_every) == (4, 4, 4)
    assert groups.pull == groups.proximal == groups.global_pull == groups.global_proximal == 0.2


def test_the_centre_of_easgd() -> None:
    """The anchor is a moving average of the workers' average."""
    easgd = leader_sgd.landscapes(8, 4, 8)[leader_sgd.CNN].methods()[leader_sgd.EASGD]
    shards = Mnist(hidden=4).shard(4, 0)
    options: dict[str, Any] = {"oracle": Minibatch(4), "steps": 16, "output": None}
    start = shards.initial().repeat(4, 1)
    centre = gossip.run(shards, topologies.complete(4), easgd.make(0.1, *easgd.strengths), **options).model[0]
    alone = gossip.run(shards, topologies.complete(4), LocalSGD(0.1, 99, momentum=0.9, nesterov=True), **options).model
    expected = (1 - leader_sgd.BETA) * start[0] + leader_sgd.BETA * alone.mean(dim=0)
    torch.testing.assert_close(centre, expected)


def test_a_target_that_is_missed_later_is_not_reached() -> None:
    landscape = leader_sgd.landscapes(8, 4, 40)[leader_sgd.COMPLETION]
    history = [{"step": i, "objective": value} for i, value in enumerate((1.0, 1e-5, 1.0, 1e-5, 1e-6))]
    assert landscape.steps_to_target(history) == 3 and landscape.at_end(history) == 1e-6
    assert landscape.steps_to_target(history[:3]) == landscape.steps_to_target([]) == landscape.at_end([]) == math.inf


def test_wrong_results_of_leader_sgd_are_noticed() -> None:
    ours = {"steps": [10, 20], "end": [0.05]}
    theirs = {"steps": [30, 20], "end": [0.06]}
    names = (leader_sgd.COMPLETION, leader_sgd.CNN, leader_sgd.PERCEPTRON)
    for good, bad, holds in ((ours, theirs, True), (theirs, ours, False)):
        methods = {leader_sgd.LSGD: good, leader_sgd.GROUPS: good, leader_sgd.EASGD: bad, leader_sgd.FAST: bad}
        claims = leader_sgd._claims(dict.fromkeys(names, methods))
        assert [claim.holds for claim in claims] == [holds] * 8


def test_clars() -> None:
    said: list[str] = []
    findings = clars.run([0], said.append, epochs=1, small=1000, large=2000, hidden=4)
    complete(findings, 5)
    assert len(said) == 2 * 5 * 4 and len(findings.claims) == 4
    for row in findings.rows:
        curve = findings.curves[row["method"]]
        assert row["rate, batch 2000"] == 2 * row["rate, batch 1000"] == 2 * curve["chosen"]
        assert curve["small"][curve["rates"].index(curve["chosen"])] == max(curve["small"])
        assert row["accuracy, scaled (%)"] == pytest.approx(100 * curve["large"][curve["rates"].index(curve["chosen"])])


def test_wrong_results_of_clars_are_noticed() -> None:
    trained = {"small": [0.9, 0.93], "large": [0.91, 0.1], "accuracy": [0.91]}
    failed = {"small": [0.9, 0.93], "large": [0.3, 0.1], "accuracy": [0.3]}
    curves = {clars.PLAIN: failed, clars.LARS: failed, clars.WARM: failed, clars.CLARS: trained}
    assert all(claim.holds for claim in clars._claims(curves))
    for name, wrong in ((clars.PLAIN, [1]), (clars.LARS, [2]), (clars.WARM, [3])):
        changed = copy.deepcopy(curves) | {name: trained}
        assert [i for i, claim in enumerate(clars._claims(changed)) if not claim.holds] == wrong
    assert not any(claim.holds for claim in clars._claims(curves | {clars.CLARS: failed}))


def test_warm_up_is_part_of_the_training() -> None:
    schedule = clars.METHODS[clars.WARM].schedule(2.0, 36)
    rates = [schedule(t) for t in range(37)]
    assert rates[:3] == pytest.approx([2 / 3, 4 / 3, 2.0]) and rates[36] == 0
    assert clars.METHODS[clars.LARS].schedule(2.0, 36)(0) == 2.0
