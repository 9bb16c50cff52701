"""The study of step-ahead error feedback: what it measures, at a tiny size, and that wrong results are noticed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from algorithms import Identity, ScaledSign, StepAheadSGD
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.momentum import Momentum
from algorithms.blocks.two_way import TwoWay
from algorithms.error_feedback.step_ahead_sgd import StepAheadState
from algorithms.schedules.learning_rate import learning_rate
from gossip.reproduce.studies.saef import (
    AVERAGED,
    CONTENDERS,
    EF,
    EVALUATIONS,
    FULL,
    HALF_TOP,
    NODES,
    SAEF,
    SIGN,
    STUDY,
    TOP,
    claims,
    measured,
    run,
    train,
)
from gossip.workloads import Mnist

SHARDS = Mnist(hidden=2).shard(NODES, 0)


def state(errors: torch.Tensor, of_server: torch.Tensor, ahead: float) -> StepAheadState:
    """At the initial model, with these errors (NODES, d) and (d,)."""
    x = SHARDS.initial().repeat(NODES + 1, 1)
    up = torch.cat([errors, torch.zeros_like(x[:1])])
    down = torch.cat([torch.zeros_like(errors), of_server[None]])
    exchange = TwoWay(ErrorMemory(up), ErrorMemory(down), "node")
    return StepAheadState(x - ahead * up, exchange, x, Momentum.start(x, 0.0, False))


def test_the_mismatch_vanishes_where_gradients_are_taken_at_the_virtual_iterate() -> None:
    d = SHARDS.layout.d
    nothing, equal = torch.zeros(d), torch.full((NODES, d), 0.01)
    assert measured(state(equal, nothing, 1.0), SHARDS)["mismatch"] < 1e-6
    assert measured(state(equal, nothing, 0.0), SHARDS)["mismatch"] > 0.01
    assert measured(state(equal, -equal[0], 0.0), SHARDS)["mismatch"] < 1e-6
    assert measured(state(0 * equal, equal[0], 1.0), SHARDS)["mismatch"] > 0.01


def test_the_mismatch_is_of_the_mean_gradient_by_the_length_of_that_at_the_virtual_iterate() -> None:
    errors = 0.05 * torch.randn(NODES, SHARDS.layout.d, generator=torch.Generator().manual_seed(1))
    images = torch.arange(64).expand(NODES, -1).contiguous()

    def mean_gradient(points: torch.Tensor) -> torch.Tensor:
        return SHARDS.gradient(points, range(NODES), images).gradient.mean(dim=0)

    x = SHARDS.initial()
    wanted = mean_gradient((x - errors.mean(dim=0)).repeat(NODES, 1))
    found = measured(state(errors, torch.zeros_like(x), 1.0), SHARDS)
    off = (mean_gradient(x - errors) - wanted).norm() / wanted.norm()
    assert found["mismatch"] == pytest.approx(float(off), rel=1e-4) and off > 0.01
    common = SHARDS.gradient(x.repeat(NODES, 1), range(NODES), images).loss.mean()
    assert found["loss"] == pytest.approx(float(common), rel=1e-6)


def test_bytes_are_those_of_both_directions_and_of_the_averages() -> None:
    dense = 4e-3 * SHARDS.layout.d
    whole = train(SHARDS, StepAheadSGD(0.1, Identity()), EVALUATIONS, 0)
    averaging = train(SHARDS, StepAheadSGD(0.1, ScaledSign(), average_every=10), EVALUATIONS, 0)
    signs = train(SHARDS, StepAheadSGD(0.1, ScaledSign()), EVALUATIONS, 0)
    assert whole[-1]["kilobytes"] == pytest.approx(2 * dense * (EVALUATIONS + 1), rel=0.01)
    assert averaging[-1]["kilobytes"] - signs[-1]["kilobytes"] == pytest.approx(2 * 2 * dense, rel=0.01)


def test_the_table_and_the_plot() -> None:
    assert STUDY.seeds == 3
    said: list[str] = []
    findings = run([0], said.append, steps=EVALUATIONS, hidden=2)
    assert len(said) == len(findings.rows) == len(CONTENDERS)
    assert {row["mismatch"] for row in findings.rows if row["method"] == FULL} == {0.0}
    assert all(row["mismatch"] > 0 for row in findings.rows if row["method"] != FULL)
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 4


GOOD = {
    (0.9, "-", FULL): (0.0, 200.0, 0.06),
    (0.9, SIGN, EF): (0.9, 7.0, 0.21),
    (0.9, SIGN, SAEF): (0.6, 7.0, 0.15),
    (0.9, SIGN, AVERAGED): (0.5, 17.0, 0.14),
    (0.9, TOP, EF): (0.4, 24.0, 0.08),
    (0.9, TOP, SAEF): (0.3, 24.0, 0.07),
    (0.9, HALF_TOP, AVERAGED): (0.3, 23.0, 0.1),
    (0.0, "-", FULL): (0.0, 200.0, 0.13),
    (0.0, SIGN, EF): (0.99, 7.0, 0.07),
    (0.0, SIGN, SAEF): (0.6, 7.0, 0.2),
    (0.0, TOP, EF): (0.4, 24.0, 0.12),
    (0.0, TOP, SAEF): (0.2, 24.0, 0.12),
}


def held(**changed: Any) -> list[bool]:
    """Whether each claim holds with `GOOD` but for one row's numbers."""
    values = {**GOOD, **({changed["row"]: changed["numbers"]} if changed else {})}
    names = ("momentum", "operator", "method")
    table = [
        {**dict(zip(names, key, strict=True)), "mismatch": off, "kB per node and step": sent, "loss": loss}
        for key, (off, sent, loss) in values.items()
    ]
    return [claim.holds for claim in claims(table)]


@pytest.mark.parametrize(
    ("row", "numbers", "failing"),
    [
        ((0.0, TOP, SAEF), (0.5, 24.0, 0.12), 0),
        ((0.9, TOP, SAEF), (0.3, 24.0, 0.09), 1),
        ((0.9, "-", FULL), (0.0, 200.0, 0.08), 2),
        ((0.0, SIGN, EF), (0.99, 7.0, 0.3), 3),
        ((0.9, HALF_TOP, AVERAGED), (0.3, 23.0, 0.069), 4),
        ((0.9, HALF_TOP, AVERAGED), (0.3, 28.0, 0.1), 4),
        ((0.9, SIGN, AVERAGED), (0.5, 13.0, 0.14), 5),
    ],
)
def test_wrong_results_are_noticed(row: tuple[float, str, str], numbers: tuple[float, ...], failing: int) -> None:
    assert held() == [True] * 6
    assert [i for i, holds in enumerate(held(row=row, numbers=numbers)) if not holds] == [failing]


def test_the_settings_are_those_that_are_said() -> None:
    for each in CONTENDERS:
        algorithm = each.algorithm(100)
        assert (algorithm.average_every is None) == (each.method != AVERAGED)
        assert algorithm.coefficient == (1.0 if each.method in (SAEF, AVERAGED) else 0.0)
        rates = [learning_rate(algorithm.lr, t) / each.lr for t in (0, 49, 50, 75)]
        assert rates == pytest.approx([1.0, 1.0, 0.1, 0.01])
