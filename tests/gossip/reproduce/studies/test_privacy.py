"""The study of privacy: noise for an epsilon, learning rates, that its runs spend it, and that wrong results show."""

from __future__ import annotations

import math
from typing import Any

import pytest

from algorithms import Spending
from gossip.execution.privacy import epsilon
from gossip.reproduce.studies import privacy
from gossip.reproduce.studies.privacy import (
    ALONE,
    CENTRAL,
    DELTA,
    EPSILONS,
    FED_AVG,
    FTRL,
    GOSSIP,
    LOCAL,
    NOISY,
    best_rate,
    contenders,
    noise_for,
    train,
)

METHODS = [FED_AVG, FTRL, LOCAL, NOISY, CENTRAL, GOSSIP, ALONE]


def test_the_noise_is_the_least_for_an_epsilon() -> None:
    def spending(z: float) -> Spending:
        return Spending(z, 7, "replace")

    z = noise_for(spending, 3.0)
    assert epsilon([spending(z)], DELTA) <= 3 < epsilon([spending(0.998 * z)], DELTA)
    assert noise_for(spending, math.inf) == 0


def test_rates_are_looked_for_uphill() -> None:
    best, tried = best_rate(lambda lr: -abs(math.log2(lr / 6.4)), 0.4)
    assert best == 6.4 and sorted(tried) == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]


@pytest.mark.parametrize("name", METHODS)
def test_runs_spend_what_they_are_meant_to(name: str) -> None:
    contender = contenders(rounds=4, steps=10)[name]
    history = train(contender, 0.1, 2.0, seed=1)
    assert history[-1]["epsilon"] == epsilon([contender.spending(2.0)], DELTA)


def table(**changed: dict[str, float]) -> list[dict[str, Any]]:
    """What all claims hold for, but for some numbers."""
    names = dict(zip(("avg", "ftrl", "local", "noisy", "central", "gossip", "alone"), METHODS, strict=True))
    rows: dict[str, dict[str, Any]] = {
        name: {"method": name, "100": 0.9, "10": 0.85, "1": 0.6, "no noise": 0.93} for name in METHODS
    }
    rows[LOCAL] |= {"10": 0.3}
    rows[NOISY] |= {"100": 0.1, "10": 0.1, "1": 0.1}
    rows[CENTRAL] |= {"100": 0.95, "10": 0.9, "1": 0.8}
    rows[ALONE] |= {"100": 0.8, "10": 0.7, "1": 0.2}
    for name, numbers in changed.items():
        rows[names[name]] |= numbers
    return list(rows.values())


def curves(factor: float = 0.999) -> dict[str, Any]:
    finite = [f"{target:g}" for target in EPSILONS if target < math.inf]
    return {name: {at: {"spent": [factor * float(at)]} for at in finite} for name in METHODS}


def test_what_is_claimed() -> None:
    assert [claim.holds for claim in privacy._claims(table(), curves())] == [True] * 5


@pytest.mark.parametrize(
    ("changed", "factor", "failing"),
    [
        ({}, 1.01, 0),
        ({"avg": {"10": 0.82}}, 0.999, 1),
        ({"local": {"10": 0.61}}, 0.999, 2),
        ({"alone": {"1": 0.56}}, 0.999, 3),
        ({"gossip": {"100": 0.97}}, 0.999, 3),
        ({"noisy": {"100": 0.21}}, 0.999, 4),
    ],
)
def test_wrong_results_are_noticed(changed: dict[str, dict[str, float]], factor: float, failing: int) -> None:
    holds = [claim.holds for claim in privacy._claims(table(**changed), curves(factor))]
    assert holds == [i != failing for i in range(5)]
