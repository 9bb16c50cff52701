"""Every method with learning rates that end at 0, or at what is too small to divide by."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import Algorithm, Cosine, InverseTime, LearningRate, LocalSGD, OverlapLocalSGD, StepDecay
from gossip import SimulatedClock
from tests.algorithms.helpers import least_squares, run, starts
from tests.cases import NODES, every_case
from topologies import ring

SCHEDULES = {
    "cosine": Cosine(lr=0.02, steps=5),  # 0 from the sixth iteration on
    "underflow": StepDecay(lr=0.02, milestones=(2, 4, 6, 8), factor=1e-110),  # by way of 1e-222 to 0
    "subnormal": StepDecay(lr=0.02, milestones=(3,), factor=1e-310),
    "inverse-time": InverseTime(scale=0.2, offset=10.0),
}
CASES = {name: case for name, case in every_case().items() if hasattr(case.algorithm, "lr")}


def scheduled(algorithm: Algorithm, lr: LearningRate) -> Algorithm:
    """The same method with this schedule for all its learning rates."""
    rates = {each.name: lr for each in fields(algorithm) if each.name in ("lr", "server_lr") and each.init}
    return replace(algorithm, **rates)  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", CASES)
def test_no_method_divides_by_it(name: str, schedule: str) -> None:
    case = CASES[name]
    auxiliary = case.algorithm.auxiliary
    topology = case.topology(NODES)
    clock: Any = case.clock
    result = gossip.run(
        case.workload(topology.n - auxiliary),  # type: ignore[arg-type]
        topology,
        scheduled(case.algorithm, SCHEDULES[schedule]),
        oracle=case.oracle,
        steps=10,
        evaluate_every=5,
        clock=SimulatedClock(**clock) if clock else None,
        output=None,
    )
    assert torch.isfinite(result.model).all()
    numbers = [value for record in result.history for value in record.values() if isinstance(value, float)]
    assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize(
    "algorithm",
    [
        LocalSGD(SCHEDULES["cosine"], period=3, slow_momentum=0.5),
        LocalSGD(SCHEDULES["cosine"], period=3, slow_momentum=0.5, slow_lr=0.7),
        OverlapLocalSGD(SCHEDULES["cosine"], period=2),
    ],
    ids=str,
)
def test_averages_go_on_without_gradients(algorithm: Algorithm) -> None:
    """Where nothing moves by gradients any more, the nodes come together, and no momentum is left to move them."""
    problem = least_squares(6)
    models = run(algorithm, ring(6), problem, starts(problem), 400).models
    assert np.ptp(models[-1], axis=0).max() < 1e-9
    assert np.abs(models[-1] - models[-50]).max() < 1e-9
