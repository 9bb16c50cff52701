"""The machinery of the studies that train models, at sizes too small to prove anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from algorithms import DecentralizedSGD, Full
from gossip.errors import DivergedError
from gossip.reproduce.studies import momentum, transformer, zo_prox
from gossip.reproduce.study import Findings
from gossip.workloads import Digits, SigmoidLoss, Text


def complete(findings: Findings, lines: int) -> None:
    """Every line of the table has the same columns, every claim its numbers, and the plot can be drawn."""
    assert len(findings.rows) == lines
    assert {tuple(row) for row in findings.rows} == {tuple(findings.rows[0])}
    assert all(claim.text and any(map(str.isdigit, claim.measured)) for claim in findings.claims)
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_momentum() -> None:
    said: list[str] = []
    findings = momentum.run([0, 1], said.append, rates=(0.01, 0.1), nodes=4, steps=10, batch=8, hidden=4)
    names = list(momentum.methods(0.1))
    complete(findings, len(names))
    assert [row["method"] for row in findings.rows] == names
    assert len(said) == len(names) * (2 + 2)
    assert len(findings.claims) == 3
    for row in findings.rows:
        curve = findings.curves[row["method"]]
        assert curve["tuning"][row["learning rate"]] == max(curve["tuning"].values())
        assert row["accuracy of nodes (%)"] == pytest.approx(100 * np.mean(curve["own"]))
        assert [len(history) for history in curve["histories"]] == [6, 6]
        assert [history[-1][momentum.OWN] for history in curve["histories"]] == curve["own"]


def test_momentum_compares_seed_by_seed() -> None:
    curves: dict[str, Any] = {name: {"own": [0.8, 0.7]} for name in momentum.methods(0.1)}
    curves["quasi-global momentum"]["own"] = [0.9, 0.59]
    claims = momentum._claims(curves)
    assert [claim.holds for claim in claims] == [False, False, False]
    assert "10.00, -11.00" in claims[0].measured
    curves["DecentLaM"]["own"] = [0.81, 0.7]
    assert momentum._claims(curves)[1].holds


def test_a_run_that_diverges_counts_as_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: Any, **options: Any) -> None:
        raise DivergedError("the run diverged")

    monkeypatch.setattr("gossip.run", diverge)
    findings = momentum.run([0], lambda text: None, rates=(0.1,), nodes=4, steps=1)
    findings.draw(Figure())
    assert {row["accuracy of nodes (%)"] for row in findings.rows} == {0.0}
    assert not any(claim.holds for claim in findings.claims)
    assert transformer._final([]) == zo_prox._final([]) == float("inf")
    sizes = {"nodes": 1, "seed": 0, "passes": 1.0, "batch": 4, "period": 2}
    assert zo_prox.train(SigmoidLoss(), method="SGD", estimator="coordinate", lr=1.0, **sizes) == []
    shards = Digits().shard(3, 0)
    assert transformer.train(shards, transformer.ring(3), DecentralizedSGD(), 1, 2, 0) == []


def test_transformer() -> None:
    said: list[str] = []
    text = Text(context=128, width=8, layers=1, heads=2)
    findings = transformer.run([0], said.append, text=text, nodes=3, steps=3, batch=2)
    complete(findings, len(transformer.METHODS))
    assert len(said) == sum(len(rates) for *_, rates in transformer.METHODS.values())
    assert findings.rows[0]["/ centralized"] == 1
    for row in findings.rows:
        losses = findings.curves[row["method"]]["losses by learning rate"]
        assert row["test loss (nats)"] == losses[row["learning rate"]] == min(losses.values())
        assert row["bits per character"] == pytest.approx(row["test loss (nats)"] / np.log(2))


def test_zo_prox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zo_prox, "RATES", (0.3, 1.0))
    said: list[str] = []
    findings = zo_prox.run([0], said.append, nodes=2, passes=0.2, batch=64, period=4, descent=20)
    complete(findings, 6)
    assert len(said) == 1 + 6 * 2
    assert len(findings.claims) == 6
    for row in findings.rows:
        assert row["suboptimality, one node"] >= 0 and row["suboptimality, ring"] >= 0


@pytest.mark.parametrize("estimator", ["coordinate", "gaussian"])
@pytest.mark.parametrize("method", zo_prox.METHODS)
def test_function_values_are_those_that_the_oracle_counts(method: str, estimator: zo_prox.Estimator) -> None:
    problem = SigmoidLoss()
    batch, period, examples, d, steps = 10, 5, 456, 31, 20
    shards = problem.shard(1, 0)
    assert (shards.examples(0), shards.layout.d) == (examples, d)
    oracle = zo_prox.oracle(method, estimator, d, batch, period)
    assert not isinstance(oracle.oracle, Full)
    x = shards.initial()[None]
    state = oracle.start(shards, x, [0], 0)
    start = int(state.queries)
    for step in range(steps):
        oracle.sample(state, shards, x, [0], step, 0)
    counted = (int(state.queries) - start) / steps
    assert counted == pytest.approx(zo_prox.queries_of_a_step(method, estimator, d, examples, batch, period))
    assert start == ((2 * d if estimator == "coordinate" else 4 * d + 1) * examples if method == "SAGA" else 0)
