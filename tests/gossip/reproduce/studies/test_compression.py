"""The studies of operators: gradient_quantization and biased_compression, at tiny sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from algorithms import Identity, ScaledSign, TopK
from algorithms.randomness import Draw
from gossip.reproduce.problems import best_rate, bits_per_entry, final_loss
from gossip.reproduce.studies import biased_compression, gradient_quantization
from gossip.reproduce.study import Findings, History


def one_rate(
    train: Callable[[float, int], History], rates: str, steps: int, score: Callable[[History], float] = final_loss
) -> tuple[float, dict[float, float]]:
    """In the place of the search, which needs many runs."""
    return 0.3, {0.3: score(train(0.3, steps))}


def checked(findings: Findings) -> None:
    """The table is whole and the plot can be drawn."""
    assert {tuple(row) for row in findings.rows} == {tuple(findings.rows[0])}
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_the_best_rate_is_found_between_and_beyond() -> None:
    lengths: list[int] = []

    def train(lr: float, steps: int) -> History:
        lengths.append(steps)
        return [] if lr > 5 else [{"test_loss": 9.0}, {"test_loss": abs(math.log(lr / best))}]

    for best in (0.4, 0.57, 1.6, 0.05):
        lr, tried = best_rate(train, "0.1..0.4:3", 8)
        assert lr == pytest.approx(best, rel=0.02)
        assert tried[lr] == min(tried.values()) and set(lengths) == {2, 4, 8}
    assert final_loss([]) == math.inf


def test_bits_of_messages() -> None:
    x = torch.tensor([[1.0, -5.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert bits_per_entry(Identity(), [x, x.double()])["paper bits"] == 32
    sign = bits_per_entry(ScaledSign(), [x])
    assert sign["paper bits"] == (8 + 32) / 8
    assert sign["wire bits"] == float(ScaledSign().compress(x, Draw(0, "b", [0], 0)).bits) / 8
    assert bits_per_entry(TopK(k=2), [x])["paper bits"] == pytest.approx((64 + math.log2(28)) / 8)


def test_errors() -> None:
    x = torch.tensor([[1.0, -5.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert gradient_quantization.error(ScaledSign(), [x]) == pytest.approx((14 / 30 + 0) / 2)


def test_gradient_quantization(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: gradient_quantization.operators()[name] for name in ("none", "TernGrad", "QSGD-3", "ORQ-3")}
    monkeypatch.setattr(gradient_quantization, "operators", lambda: few)
    for claimed in ("LESS_ERROR", "LESS_LOSS"):
        monkeypatch.setattr(gradient_quantization, claimed, {"ORQ-3": ("TernGrad", "QSGD-3")})
    monkeypatch.setattr(gradient_quantization, "best_rate", one_rate)
    findings = gradient_quantization.run([0], lambda text: None, steps=8, hidden=2)
    checked(findings)
    assert [row["operator"] for row in findings.rows] == list(few)
    assert findings.rows[0]["error"] == 0 and findings.claims[0].holds
    for row in findings.rows:
        kept = findings.curves[row["operator"]]
        assert kept["tuning"][row["learning rate"]] == min(kept["tuning"].values())
        assert row["test loss"] == kept["histories"][0][-1]["test_loss"]


def test_a_quantizer_that_loses_is_noticed() -> None:
    table: list[Mapping[str, Any]] = []
    for name in gradient_quantization.operators():
        low = float(not name.startswith(("BinGrad", "ORQ")))
        table.append({"operator": name, "error": low, "test loss": low})
    assert all(claim.holds for claim in gradient_quantization._claims(table))
    worse = [{**row, "error": 99.0} if row["operator"] == "ORQ-5" else row for row in table]
    assert [claim.text for claim in gradient_quantization._claims(worse) if not claim.holds] == [
        "ORQ-5 has a smaller error on gradients than QSGD-5 and uniform-5"
    ]


def test_iterations_until_the_target() -> None:
    history = [{"step": 2 * i, "test_loss": 5.0 - i} for i in range(5)]
    assert biased_compression.iterations(history, 3.0) == biased_compression.slowness(history, 3.0) == 4
    assert biased_compression.iterations(history, 0.5) == math.inf == biased_compression.slowness([], 0.5)
    assert biased_compression.slowness(history[:4], 0.5) > biased_compression.slowness(history, 0.5) > 1e6


def test_biased_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("none", *biased_compression.SPARSE, biased_compression.WINNER)
    few = {name: biased_compression.operators(0.1)[name] for name in names}
    monkeypatch.setattr(biased_compression, "operators", lambda fraction: few)
    monkeypatch.setattr(biased_compression, "TARGET", 2.4)
    monkeypatch.setattr(biased_compression, "NEAR", 0.99)
    monkeypatch.setattr(biased_compression, "best_rate", one_rate)
    findings = biased_compression.run([0], lambda text: None, steps=(16, 8), images=100, hidden=2)
    checked(findings)
    assert [row["operator"] for row in findings.rows] == [*few, *few]
    for row in findings.rows:
        d = 784 if row["problem"] == "logistic regression" else 784 * 2 + 2 + 2 * 10 + 10
        if row["operator"] == "none" and math.isfinite(row["iterations"]):
            assert row["paper kbit"] == pytest.approx(row["iterations"] * 32 * d / 1000)
    assert any(math.isfinite(row["iterations"]) for row in findings.rows)
    assert len(findings.claims) == 4


def test_an_operator_that_needs_fewer_bits_is_noticed() -> None:
    def table(dense: float, sparse: float) -> list[Mapping[str, Any]]:
        bits = dict.fromkeys(biased_compression.SPARSE, sparse)
        bits |= {biased_compression.WINNER: 2.0, "natural dithering": dense, biased_compression.OUTSIDE: 1.0}
        return [
            {"problem": problem, "operator": name, "paper kbit": each, "wire kbit": each}
            for problem in biased_compression.RATES
            for name, each in bits.items()
        ]

    def holds(dense: float, sparse: float) -> list[bool]:
        return [claim.holds for claim in biased_compression._claims(table(dense, sparse))]

    assert holds(3.0, 3.0) == [True] * 4
    assert holds(3.0, 2.0) == [False] * 4
    assert holds(1.5, 3.0) == [True, True, False, False]
