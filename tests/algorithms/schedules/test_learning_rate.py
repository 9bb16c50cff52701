"""Learning-rate schedules at chosen iterations."""

from __future__ import annotations

import math

import pytest

from algorithms import Constant, Cosine, InverseTime, LearningRate, StepDecay, WarmUp
from algorithms.schedules.learning_rate import learning_rate


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(lr=0.3), {0: 0.3, 1: 0.3, 10**6: 0.3}),
        (StepDecay(lr=1.0), {0: 1.0, 999: 1.0}),
        (
            StepDecay(lr=2.0, milestones=(10, 20), factor=0.5),
            {0: 2.0, 9: 2.0, 10: 1.0, 19: 1.0, 20: 0.5, 1000: 0.5},
        ),
        (StepDecay(lr=2.0, milestones=(0,), factor=0.5), {0: 1.0}),
        (
            Cosine(lr=1.0, steps=100),
            {0: 1.0, 50: 0.5, 25: 0.5 + math.sqrt(0.5) / 2, 75: 0.5 - math.sqrt(0.5) / 2, 100: 0.0, 500: 0.0},
        ),
        (Cosine(lr=1.0, steps=3, end=0.2), {0: 1.0, 1: 0.8, 2: 0.4, 3: 0.2, 4: 0.2}),
        (InverseTime(scale=6.0, offset=2.0), {0: 3.0, 1: 2.0, 4: 1.0, 58: 0.1}),
        (WarmUp(steps=0, then=Constant(lr=0.3)), {0: 0.3, 7: 0.3}),
        (
            WarmUp(steps=4, then=InverseTime(scale=5.0, offset=1.0)),
            {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0, 5: 2.5, 8: 1.0},
        ),
        (
            WarmUp(steps=1, then=WarmUp(steps=1, then=Constant(lr=8.0))),
            {0: 2.0, 1: 4.0, 2: 8.0, 3: 8.0},
        ),
    ],
    ids=str,
)
def test_values(schedule: LearningRate, values: dict[int, float]) -> None:
    assert {t: schedule(t) for t in values} == pytest.approx(values, rel=1e-12, abs=1e-15)


def test_a_number_is_a_learning_rate_as_well() -> None:
    assert learning_rate(0.25, 7) == 0.25
    assert learning_rate(InverseTime(scale=1.0, offset=1.0), 7) == 0.125


def test_cosine_never_rises_nor_leaves_its_range() -> None:
    values = [Cosine(lr=0.5, steps=37, end=0.1)(t) for t in range(60)]
    assert values == sorted(values, reverse=True)
    assert max(values) == 0.5
    assert min(values) == 0.1
