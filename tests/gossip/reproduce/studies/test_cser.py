"""The study of error reset: that methods send as much as each other, and that wrong results are noticed."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from algorithms import Cser, ErrorFeedbackSGD, LocalSGD, QsparseLocalSGD, RandomBlock
from gossip.reproduce.studies.cser import (
    CSER,
    EF,
    LOCAL,
    METHODS,
    PERIODS,
    QSPARSE,
    RATES,
    SGD,
    STEPS,
    STUDY,
    accuracy,
    claims,
    kilobytes,
    last,
    make,
    run,
)
from gossip.workloads import Mnist

D = Mnist(hidden=16).shard(8, 0).layout.d


def numbers(method: str, reduction: int) -> float:
    """What a node sends in an iteration, in the mean over a training."""
    algorithm = make(method, reduction, 0.9, 0.1)
    assert STEPS % reduction == 0

    def kept(compressor: object) -> float:
        assert isinstance(compressor, RandomBlock)
        return compressor.kept(D)

    if isinstance(algorithm, ErrorFeedbackSGD):
        return kept(algorithm.compressor)
    if isinstance(algorithm, QsparseLocalSGD):
        assert isinstance(algorithm.period, int)
        return kept(algorithm.compressor) / algorithm.period
    if isinstance(algorithm, Cser):
        return kept(algorithm.compressor) + kept(algorithm.reset_compressor) / algorithm.period
    assert isinstance(algorithm, LocalSGD) and isinstance(algorithm.period, int)
    return D / algorithm.period


@pytest.mark.parametrize("reduction", PERIODS)
@pytest.mark.parametrize("method", METHODS)
def test_all_send_as_much(method: str, reduction: int) -> None:
    assert numbers(method, reduction) == pytest.approx(D / reduction, rel=1e-9)


def test_what_is_read_off_a_history() -> None:
    history = [{"test_accuracy": 0.1 * i, "bytes_sent_per_node": 500.0 + 1000 * i} for i in range(6)]
    assert accuracy(history) == pytest.approx(0.4)
    assert kilobytes(history) == 5.0
    assert accuracy([]) == 0.0 and math.isnan(last([], "consensus_distance"))


def test_the_table_and_the_plot() -> None:
    said: list[str] = []
    findings = run([0], said.append, steps=8, hidden=2)
    assert len(said) == len(findings.rows) == len(RATES) and STUDY.seeds == 3
    rows = {(row["method"], row["R"], row["momentum"]): row for row in findings.rows}
    assert rows[SGD, 1, 0.0]["times fewer bytes"] == pytest.approx(1.0)
    assert rows[SGD, 1, 0.0]["distance"] == 0 < rows[CSER, 256, 0.9]["distance"]
    assert rows[LOCAL, 256, 0.9]["times fewer bytes"] == math.inf
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 2


GOOD = {(SGD, 1): 91.5, **{(method, ratio): 70.0 for method in (EF, QSPARSE) for ratio in PERIODS}}
GOOD |= {(CSER, 256): 90.5, (CSER, 1024): 90.0, (LOCAL, 256): 90.8, (LOCAL, 1024): 89.0}


@pytest.mark.parametrize(
    ("changed", "percent", "failing"),
    [
        ((CSER, 256), 89.4, [1]),
        ((CSER, 1024), 88.0, [4]),
        ((EF, 256), 90.6, [0]),
        ((QSPARSE, 1024), 90.1, [3]),
        ((LOCAL, 256), 88.0, [2]),
        ((LOCAL, 1024), 92.5, [5]),
    ],
)
def test_wrong_results_are_noticed(changed: tuple[str, int], percent: float, failing: list[int]) -> None:
    def failed(values: dict[tuple[str, int], float], fewer: float = 1.0) -> list[int]:
        table = [
            {"method": method, "R": ratio, "times fewer bytes": fewer * ratio, "accuracy (%)": value}
            for (method, ratio), value in values.items()
        ]
        return [i for i, claim in enumerate(claims(table)) if not claim.holds]

    assert failed(GOOD) == []
    assert failed({**GOOD, changed: percent}) == failing
    assert failed(GOOD, fewer=0.9) == [6]
