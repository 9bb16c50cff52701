"""The study of double compression: what is forgotten, at a tiny size, and that wrong results are noticed."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure

from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.momentum import Momentum
from algorithms.blocks.two_way import TwoWay
from algorithms.error_feedback.double_compression_sgd import DoubleCompressionState
from gossip.reproduce.studies.double_compression import (
    AT_NODES,
    CONTENDERS,
    CORRECTED,
    DENSE,
    EVALUATIONS,
    FULL,
    NODES,
    PERIOD,
    SIGN,
    STUDY,
    TOP,
    UNCORRECTED,
    Contender,
    claims,
    forget,
    run,
    train,
)
from gossip.workloads import Mnist

SHARDS = Mnist(hidden=2).shard(NODES, 0)


@pytest.mark.parametrize(
    ("correction", "of_nodes", "of_server"), [(CORRECTED, 1.0, 2.0), (AT_NODES, 1.0, 0.0), (UNCORRECTED, 0.0, 0.0)]
)
def test_what_is_forgotten(correction: str, of_nodes: float, of_server: float) -> None:
    x = torch.ones(NODES + 1, 3)
    exchange = TwoWay(ErrorMemory(x), ErrorMemory(2 * x), "node")
    forget(DoubleCompressionState(x, exchange, x, Momentum.start(x, 0.0, False)), correction)
    assert exchange.up.lost.unique().tolist() == [of_nodes]
    assert exchange.down.lost.unique().tolist() == [of_server]


def test_corrections_make_a_difference_from_the_second_exchange_on() -> None:
    steps = EVALUATIONS * PERIOD
    runs = {
        correction: [each["loss"] for each in train(SHARDS, Contender(TOP, correction, 0.0, 0.1), steps, 0)]
        for correction in (CORRECTED, AT_NODES, UNCORRECTED)
    }
    assert runs[CORRECTED][1] == runs[AT_NODES][1] == runs[UNCORRECTED][1]
    assert len({losses[2] for losses in runs.values()}) == 3


def test_the_table_and_the_plot() -> None:
    said: list[str] = []
    findings = run([0], said.append, steps=EVALUATIONS, hidden=2)
    assert len(said) == len(findings.rows) == len(CONTENDERS) and STUDY.seeds == 3
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 2


GOOD = {
    (0.0, DENSE, FULL): (0.18, 91.5, 13.0),
    (0.0, SIGN, CORRECTED): (0.24, 91.0, 0.7),
    (0.0, SIGN, UNCORRECTED): (0.5, 86.0, 0.7),
    (0.0, TOP, CORRECTED): (0.2, 91.0, 1.0),
    (0.0, TOP, AT_NODES): (0.3, 90.0, 1.0),
    (0.0, TOP, UNCORRECTED): (0.5, 88.0, 1.0),
    (0.9, DENSE, FULL): (0.1, 92.0, 13.0),
    (0.9, SIGN, CORRECTED): (0.2, 91.5, 0.7),
    (0.9, SIGN, UNCORRECTED): (0.5, 88.0, 0.7),
    (0.9, TOP, CORRECTED): (0.15, 91.5, 1.0),
    (0.9, TOP, AT_NODES): (0.3, 91.0, 1.0),
    (0.9, TOP, UNCORRECTED): (0.5, 88.0, 1.0),
}


@pytest.mark.parametrize(
    ("row", "numbers", "failing"),
    [
        ((0.9, SIGN, CORRECTED), (0.2, 89.9, 0.7), 0),
        ((0.0, TOP, CORRECTED), (0.2, 91.0, 2.0), 1),
        ((0.0, SIGN, UNCORRECTED), (0.22, 86.0, 0.7), 2),
        ((0.9, TOP, AT_NODES), (0.14, 91.0, 1.0), 3),
        ((0.0, SIGN, CORRECTED), (0.19, 91.0, 0.7), 4),
    ],
)
def test_wrong_results_are_noticed(
    row: tuple[float, str, str], numbers: tuple[float, float, float], failing: int
) -> None:
    def held(values: dict[tuple[float, str, str], tuple[float, float, float]]) -> list[bool]:
        names, measured = ("momentum", "operator", "errors"), ("loss", "accuracy (%)", "kB per node and step")
        table = [
            {**dict(zip(names, key, strict=True)), **dict(zip(measured, each, strict=True))}
            for key, each in values.items()
        ]
        return [claim.holds for claim in claims(table)]

    assert held(GOOD) == [True] * 5
    assert [i for i, holds in enumerate(held({**GOOD, row: numbers})) if not holds] == [failing]
