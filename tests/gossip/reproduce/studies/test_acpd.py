"""The study of ACPD: its gap, its data, and its machinery at a tiny size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from algorithms import Sdca
from gossip.network import SimulatedClock
from gossip.reproduce.studies.acpd import (
    ACPD,
    COCOA,
    CONTENDERS,
    FLOOR,
    GROUPS,
    NODES,
    SPARSE,
    Run,
    _claims,
    documents,
    duality_gap,
    images,
    reached,
    run,
)


def test_documents_have_few_words_and_digits_are_divided() -> None:
    workload = documents(0, examples=64, features=500)
    features = np.asarray(workload.features)
    assert features.shape == (8, 8, 500) and set(np.unique(workload.targets)) == {-1.0, 1.0}
    np.testing.assert_allclose(np.linalg.norm(features, axis=2), 1.0)
    assert (features > 0).sum(2).max() <= 60
    assert not np.array_equal(features, documents(1, examples=64, features=500).features)
    assert np.asarray(images(0, 80).features).shape == (8, 10, 784)


@pytest.mark.parametrize("loss", ["half square", "hinge"])
def test_the_gap_of_one_example(loss: str) -> None:
    """Closed forms: with one feature of 1, y = 1 and l2 = 1, the optimum is w = alpha = 1/2 or 1."""
    data, best = (np.ones((1, 1)), np.ones(1)), 0.5 if loss == "half square" else 1.0
    assert duality_gap(data, loss, 1.0, np.array([best]), np.array([best])) == pytest.approx(0, abs=1e-15)
    start = duality_gap(data, loss, 1.0, np.zeros(1), np.zeros(1))
    assert start == pytest.approx(0.5 if loss == "half square" else 1.0)


def test_the_gap_is_of_the_dual_variables_that_have_been_taken_over() -> None:
    """Those of a solve that is not done yet do not count: at the start and long before its end the gap is the same."""
    clock = SimulatedClock(1.0, 1e-3, 1e6)
    each = Run(CONTENDERS[COCOA].method, Sdca(5, sigma=0.5), documents(0, 64, 100).shard(NODES, 0), clock, 0)
    first = each.measured()["gap"]
    each.driver.advance(gradients=1)  # all of them have been computed for it
    one = each.measured()
    each.driver.advance(gradients=NODES)
    assert first == 0.5 and one["solves"] == 1 / NODES
    assert each.measured()["gap"] != one["gap"] != first


def test_what_is_reached() -> None:
    fall = {"seconds": [0.0, 1.0, 2.0], "gap": [1.0, 1e-4, 1e-6]}
    assert reached(fall, "seconds") == 1.0
    assert reached(fall | {"gap": [1.0, 0.1, math.nan]}, "seconds") == math.inf


def test_the_table_the_claims_and_the_plot() -> None:
    said: list[str] = []
    findings = run([0], said.append, document_count=64, word_count=300, image_count=160, solves=3)
    assert len(findings.rows) == len(said) == 4 * len(CONTENDERS)
    assert [claim.holds for claim in findings.claims] == [False] * 5  # nobody is there so soon
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 6 and all(axes.has_data() for axes in figure.axes)


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """Rows with which all claims hold, but for what is changed of some methods with a straggler."""
    usual: dict[str, dict[str, float]] = {
        COCOA: {"seconds": 10.0, "solves per node": 20.0, "MB": 10.0},
        ACPD: {"seconds": 5.0, "solves per node": 40.0, "MB": 5.0},
        GROUPS: {"seconds": 5.0, "solves per node": 40.0, "MB": 10.0},
        SPARSE: {"seconds": 9.5, "solves per node": 20.0, "MB": 5.0},
    }
    usual |= {f"{name}, safe": usual[name] for name in (COCOA, ACPD)}
    return [
        {"problem": problem, "straggler": straggler, "method": name, "gap in the end": FLOOR}
        | numbers
        | (changed.get(name, {}) if straggler == "10x" and problem == "digits" else {})
        for problem in ("documents", "digits")
        for straggler in ("none", "10x")
        for name, numbers in usual.items()
    ]


def test_claims_can_hold_and_fail() -> None:
    assert [claim.holds for claim in _claims(table())] == [True] * 5
    slow = {"seconds": 9.0, "solves per node": 21.0, "gap in the end": 1e-3}
    claims = _claims(table(**{ACPD: slow, SPARSE: {"seconds": 7.0}}))
    assert [claim.holds for claim in claims] == [False, False, False, True, False]
    never = {"seconds": math.inf, "solves per node": math.inf, "MB": math.inf}
    assert not _claims(table(**{COCOA: never, ACPD: never}))[0].holds
    rows = table()
    for row in rows:
        if row["straggler"] == "none" and row["method"] == ACPD:
            row["MB"] = 9.0
    assert [claim.holds for claim in _claims(rows)] == [True, True, True, False, True]
