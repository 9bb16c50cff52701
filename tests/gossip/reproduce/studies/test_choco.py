"""The study of CHOCO-SGD, at a tiny size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from algorithms import Identity
from gossip.errors import DivergedError
from gossip.reproduce.problems import digits
from gossip.reproduce.studies import choco
from gossip.reproduce.studies.choco import EXACT, GRAPHS, NODES, SPLITS, final, kilobits, methods, run
from gossip.workloads.neural.images import read_mnist
from gossip.workloads.splits import ByLabel, Iid
from gossip.workloads.workload import Arrays


@pytest.fixture(scope="module")
def data() -> Arrays:
    return read_mnist()


def test_bits_and_suboptimality() -> None:
    history = [{"bytes_sent_per_node": 1000.0 * i, "test_loss": 8.0 - i} for i in range(8)]
    assert kilobits(history, 5.5) == 24.0
    assert kilobits(history, 0.5) == math.inf
    assert final(history, 0.5) == pytest.approx(np.mean([3, 2, 1]) - 0.5)
    assert final([], 0.5) == kilobits([], 0.5) == math.inf


def test_features_are_standardised(data: Arrays) -> None:
    features = digits(data, Iid(), 3, 0.1, 600, 0).features
    assert isinstance(features, np.ndarray)
    np.testing.assert_allclose(np.linalg.norm(features, axis=2), 1)
    rows = features.reshape(600, -1)
    assert np.abs(rows.mean(axis=0)).max() < 0.02  # of the order of 1e-3, where it would be 0.1
    spread = rows.std(axis=0)
    assert set((spread == 0).tolist()) == {False, True} and np.median(spread[spread > 0]) == pytest.approx(
        0.04, rel=0.3
    )


def test_both_splits_have_the_same_objective(data: Arrays) -> None:
    problems = [digits(data, split, 3, 0.1, 100, 0) for split in (Iid(), ByLabel())]
    assert [[len(set(own)) for own in problem.labels.tolist()] for problem in problems] == [[2, 2, 2], [1, 2, 1]]
    shards = [problem.shard(3, 0) for problem in problems]
    assert [shard.examples(node) for shard in shards for node in range(3)] == [33] * 6
    at = [shard.evaluate(shard.optimum) for shard in shards]
    assert at[0]["test_loss"] == pytest.approx(at[1]["test_loss"], abs=1e-12)
    x = shards[0].optimum
    gradients = [shard.gradient(x.expand(3, -1), range(3)).gradient for shard in shards]
    assert all(each.mean(dim=0).norm() < 1e-9 < each.norm() for each in gradients)


def test_the_table_and_the_claims(data: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choco, "read_mnist", lambda: data)
    said: list[str] = []
    findings = run([0], said.append, epochs=1, most=74, search=4)
    compared = methods(0.01, 16)
    settings = [(graph, split) for graph in GRAPHS for split in SPLITS]
    assert len(findings.rows) == len(compared) * len(settings)
    runs = [
        len(settings) * len(method.candidates)
        if method.each_graph
        else len(SPLITS) * len(method.candidates) + len(settings)
        for method in compared.values()
    ]
    assert len(said) == sum(runs)
    assert {tuple(row) for row in findings.rows} == {tuple(findings.rows[0])}
    for row in findings.rows:
        each_graph = compared[row["method"]].each_graph
        setting = [row["method"], *([row["graph"]] if each_graph else []), row["split"]]
        tried = findings.curves["tuning"][", ".join(setting)]
        assert tried[row["tuned"]] == min(tried.values())
        if each_graph:
            assert row["suboptimality"] == tried[row["tuned"]]
        assert row["suboptimality"] > 0
        if row["method"] == EXACT:
            assert row["/ exact"] == 1
            degree = {"ring": 2, "torus": 4, "complete": NODES - 1}[row["graph"]]
            history = findings.curves[f"{row['graph']}, {row['split']}"][EXACT][0]
            assert history[-1]["bytes_sent_per_node"] == 8 * degree * 784 * 8
    assert len(findings.claims) == 14
    assert all(claim.text and claim.measured for claim in findings.claims)
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_what_diverges_counts_as_useless(data: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: Any, **options: Any) -> None:
        raise DivergedError("the run diverged")

    monkeypatch.setattr("gossip.run", diverge)
    algorithm = methods(0.01, 16)[EXACT].make(1.0, 10.0, 1.0)
    assert choco.train(digits(data, Iid(), 3, 0.1, 100, 0), GRAPHS["ring"](3), algorithm, 1, 0) == []


def test_learning_rates_and_gammas_reach_the_algorithms() -> None:
    for name, method in methods(0.01, 16).items():
        algorithm: Any = method.make(3.0, 10.0, 0.5)
        tuned = hasattr(algorithm, "gamma")
        assert algorithm.lr(0) == pytest.approx(0.3 if tuned else 0.15)
        assert not tuned or algorithm.gamma == 0.5
        assert name == EXACT or not isinstance(algorithm.compressor, Identity)
