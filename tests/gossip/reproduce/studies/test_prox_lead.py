"""The study of Prox-LEAD: its optimum against another method, and its machinery at a tiny size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from algorithms import Full
from gossip.reproduce.problems import pooled_digits
from gossip.reproduce.studies.prox_lead import (
    NODES,
    WEIGHT,
    Composite,
    _claims,
    _tail,
    contenders,
    level,
    minimiser,
    reached,
    run,
)
from gossip.workloads import LogisticRegression

SIZES: dict[str, Any] = {"images": 12, "pool": 4, "norm": 2.0}


def test_digits_are_sorted_and_scaled() -> None:
    features, labels = pooled_digits(**SIZES)
    assert features.shape == (120, 49)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 2.0)
    assert labels.tolist() == [-1.0] * 60 + [1.0] * 60


def test_without_l1_the_minimiser_is_that_of_newtons_method() -> None:
    features, labels = pooled_digits(**SIZES)
    divided = features.reshape(NODES, -1, 49), labels.reshape(NODES, -1)
    newton = LogisticRegression(*divided, l2=WEIGHT).shard(NODES, 0).optimum
    np.testing.assert_allclose(minimiser(features, labels, 0.0), newton.numpy(), atol=1e-9)


def test_with_l1_no_direction_leads_down_from_the_minimiser() -> None:
    """The conditions of optimality: -grad f = l1 sign(x) where x is not 0, and at most l1 elsewhere."""
    features, labels = pooled_digits(**SIZES)
    x = minimiser(features, labels, WEIGHT)
    gradient = -features.T @ (labels / (1 + np.exp(labels * (features @ x)))) / len(features) + WEIGHT * x
    inside = x != 0
    assert 0 < inside.sum() < len(x)
    np.testing.assert_allclose(gradient[inside], -WEIGHT * np.sign(x[inside]), atol=1e-10)
    assert np.abs(gradient[~inside]).max() <= WEIGHT
    with pytest.raises(ArithmeticError, match="stays above"):
        minimiser(features, labels, WEIGHT, tolerance=0.0)


def test_the_objective_and_its_subgradient() -> None:
    features, labels = pooled_digits(**SIZES)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=49))
    problem = Composite(features, labels, WEIGHT, subgradient=True)
    objective = np.log1p(np.exp(-labels * (features @ x.numpy()))).mean() + WEIGHT / 2 * float(x @ x)
    objective += WEIGHT * float(x.abs().sum())
    problem.least = 0.25
    assert problem.evaluate(x)["suboptimality"] == pytest.approx(objective - 0.25, rel=1e-12)
    plain = Composite(features, labels, WEIGHT).gradient(x[None], [3]).gradient
    torch.testing.assert_close(problem.gradient(x[None], [3]).gradient, plain + WEIGHT * x.sign())


def test_levels_and_what_it_takes_to_get_there() -> None:
    fall = {"epochs": [0.0, 1.0, 2.0, 3.0, 4.0], "suboptimality": [1.0, 1e-2, 1e-4, 1e-6, 1e-9]}
    assert reached(fall, "epochs", 1e-4) == 2.0
    assert reached(fall, "epochs", 1e-10) == math.inf
    assert level(fall) == 1e-9
    assert _tail(fall) == 1.0
    assert _tail({"epochs": [0.0, 1.0], "suboptimality": [1.0, 1e-6]}) == math.inf
    assert _tail({"epochs": [0.0, 1.0], "suboptimality": [1.0, 0.1]}) == math.inf


def test_the_table_the_claims_and_the_plot() -> None:
    said: list[str] = []
    findings = run([0], said.append, **SIZES, epochs=2, full_epochs=20)
    compared = contenders(1.0, 1)
    assert said == [row["method"] for row in findings.rows] == list(compared)
    bits = {row["method"]: 1e6 * row["Mbit in all"] for row in findings.rows}
    assert bits["D-PSGD, full"] == bits["PG-EXTRA, full"] == 20 * 2 * 49 * 32
    assert bits["NIDS, full"] == 19 * 2 * 49 * 32
    assert bits["Prox-LEAD, full"] < bits["NIDS, full"] / 3
    epochs = {row["method"]: row["epochs"] for row in findings.rows}
    assert {epochs[name] for name, each in compared.items() if isinstance(each.oracle, Full)} == {20.0}
    assert epochs["Prox-LEAD, SGD"] == 2.0 and epochs["Prox-LEAD, SAGA"] == 3.0
    assert [claim.holds for claim in findings.claims[2:5]] == [False] * 3  # nobody is there so soon
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 4 and all(axes.has_data() for axes in figure.axes)


def test_claims_can_hold_and_fail() -> None:
    exact = {"suboptimality": 1e-9, "epochs to 1e-8": 100.0, "Mbit to 1e-8": 1.0}
    table: list[dict[str, Any]] = []
    for name, each in contenders(1.0, 1).items():
        row = {"method": name, **exact}
        if not each.compressed:
            row["Mbit to 1e-8"] = 10.0
        if "SGD" in name or "CHOCO" in name or "D-PSGD" in name:
            row["suboptimality"] = 1e-3
        table.append(row)
    fall = {"epochs": [0.0, 50.0, 75.0, 100.0], "suboptimality": [1.0, 1e-4, 1e-6, 1e-9]}
    curves = {row["method"]: [fall] for row in table}
    assert [claim.holds for claim in _claims(table, curves)] == [True] * 6

    rows = {row["method"]: row for row in table}
    rows["Prox-LEAD, SAGA"] |= {"epochs to 1e-8": 130.0, "Mbit to 1e-8": 2.0, "suboptimality": 2e-8}
    curves["Prox-LEAD, SGD"] = [fall | {"epochs": [0.0, 75.0, 100.0, 125.0]}]
    rows["CHOCO, full"]["suboptimality"] = 1e-6
    curves["Prox-LEAD, SAGA"] = [fall | {"epochs": [0.0, 50.0, 75.0, 200.0]}]
    assert [claim.holds for claim in _claims(table, curves)] == [False] * 6
    rows["NIDS, SAGA"] |= {"epochs to 1e-8": math.inf, "Mbit to 1e-8": math.inf}
    rows["Prox-LEAD, SAGA"] |= {"epochs to 1e-8": math.inf, "Mbit to 1e-8": math.inf}
    assert [claim.holds for claim in _claims(table, curves)][:3] == [False] * 3
