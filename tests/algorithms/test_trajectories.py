"""Every algorithm against a literal transcription of its paper's equations, over whole trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from algorithms import (
    Algorithm,
    ChocoSGD,
    Compressor,
    Cosine,
    DecentralizedSGD,
    ExactDiffusion,
    Identity,
    InverseTime,
    LearningRate,
    StepDecay,
    TopK,
    WarmUp,
)
from tests.algorithms import reference
from tests.algorithms.helpers import ALL, STATIC, UNDIRECTED, Array, dense, least_squares, run, starts
from topologies import Schedule, Topology

STEPS = 80
LR = 0.02

ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus")
MOMENTA = {"plain": (0.0, False), "heavy-ball": (0.9, False), "nesterov": (0.9, True)}
COMPRESSORS: dict[str, tuple[Compressor, float, Callable[[Array], Array]]] = {
    "identity": (Identity(), 0.7, lambda x: x),
    "top-2": (TopK(k=2), 0.2, lambda x: reference.top_k(x, 2)),
    "top-65%": (TopK(fraction=0.65), 0.4, lambda x: reference.top_k(x, 3)),
}
# The schedules, each with its formula in closed form.
SCHEDULES: dict[str, tuple[LearningRate, reference.Rate]] = {
    "step-decay": (
        StepDecay(lr=0.05, milestones=(20, 21, 60), factor=0.3),
        lambda t: 0.05 if t < 20 else 0.015 if t < 21 else 0.0045 if t < 60 else 0.00135,
    ),
    "cosine": (
        Cosine(lr=0.05, steps=70, end=0.01),
        lambda t: 0.01 + 0.04 * math.cos(math.pi * t / 140) ** 2 if t < 70 else 0.01,
    ),
    "inverse-time": (InverseTime(scale=0.5, offset=10.5), lambda t: 1 / (2 * t + 21)),
    "warm-up": (
        WarmUp(steps=30, then=StepDecay(lr=0.05, milestones=(40,), factor=0.5)),
        lambda t: 0.05 * (t + 1) / 31 if t < 30 else 0.05 if t < 70 else 0.025,
    ),
}


def constant(t: int) -> float:
    return LR


def check(algorithm: Algorithm, topology: Schedule, expected: Callable[..., Array]) -> None:
    """Compare all models of a run, from a start of its own at every node, to the transcription's."""
    problem = least_squares(topology.n)
    x = starts(problem)
    models = run(algorithm, topology, problem, x, STEPS).models
    wanted = expected(x, problem.gradient)
    assert np.ptp(wanted[0], axis=0).min() > 0.1  # the nodes do start apart
    assert np.abs(models - wanted).max() <= 1e-10


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize(("momentum", "nesterov"), MOMENTA.values(), ids=MOMENTA)
@pytest.mark.parametrize("order", ORDERS)
def test_decentralized_sgd(order: str, momentum: float, nesterov: bool, period: int, topology: Schedule) -> None:
    settings = {"order": order, "momentum": momentum, "nesterov": nesterov, "period": period}
    check(
        DecentralizedSGD(lr=LR, **settings),
        topology,
        lambda X, gradient: reference.decentralized_sgd(
            X, gradient, lambda r: dense(topology[r]), constant, STEPS, **settings
        ),
    )


@pytest.mark.parametrize("name", ["ring-16", "erdos_renyi-13", "exponential-16", "exponential-13"])
@pytest.mark.parametrize(("momentum", "nesterov"), MOMENTA.values(), ids=MOMENTA)
@pytest.mark.parametrize(("compressor", "gamma", "compress"), COMPRESSORS.values(), ids=COMPRESSORS)
@pytest.mark.parametrize("order", ["icml", "overlapped"])
def test_choco_sgd(
    order: str,
    compressor: Compressor,
    gamma: float,
    compress: Callable[[Array], Array],
    momentum: float,
    nesterov: bool,
    name: str,
) -> None:
    topology = STATIC[name]
    settings = {"order": order, "gamma": gamma, "momentum": momentum, "nesterov": nesterov}
    check(
        ChocoSGD(lr=LR, compressor=compressor, **settings),
        topology,
        lambda X, gradient: reference.choco_sgd(
            X, gradient, dense(topology), constant, STEPS, compress=compress, **settings
        ),
    )


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize("form", [reference.exact_diffusion, reference.d2])
def test_exact_diffusion(form: Callable[..., Array], topology: Topology) -> None:
    check(
        ExactDiffusion(lr=LR),
        topology,
        lambda X, gradient: form(X, gradient, dense(topology), constant, STEPS),
    )


@pytest.mark.parametrize(("schedule", "rate"), SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("order", ORDERS)
def test_decentralized_sgd_with_a_schedule(order: str, schedule: LearningRate, rate: reference.Rate) -> None:
    settings = {"order": order, "momentum": 0.5, "nesterov": True, "period": 2}
    topology = ALL["one_peer_exponential-13"]
    check(
        DecentralizedSGD(lr=schedule, **settings),
        topology,
        lambda X, gradient: reference.decentralized_sgd(
            X, gradient, lambda r: dense(topology[r]), rate, STEPS, **settings
        ),
    )


@pytest.mark.parametrize(("schedule", "rate"), SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("order", ["icml", "overlapped"])
def test_choco_sgd_with_a_schedule(order: str, schedule: LearningRate, rate: reference.Rate) -> None:
    compressor, gamma, compress = COMPRESSORS["top-2"]
    topology = STATIC["erdos_renyi-13"]
    check(
        ChocoSGD(lr=schedule, gamma=gamma, compressor=compressor, order=order, momentum=0.5),
        topology,
        lambda X, gradient: reference.choco_sgd(
            X, gradient, dense(topology), rate, STEPS, order, gamma, compress, momentum=0.5
        ),
    )


@pytest.mark.parametrize(("schedule", "rate"), SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("form", [reference.exact_diffusion, reference.d2])
def test_exact_diffusion_with_a_schedule(
    form: Callable[..., Array], schedule: LearningRate, rate: reference.Rate
) -> None:
    topology = UNDIRECTED["erdos_renyi-13"]
    check(
        ExactDiffusion(lr=schedule),
        topology,
        lambda X, gradient: form(X, gradient, dense(topology), rate, STEPS),
    )


@pytest.mark.parametrize(("schedule", "rate"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_follow_their_formulas(schedule: LearningRate, rate: reference.Rate) -> None:
    t = range(STEPS)
    np.testing.assert_allclose([schedule(k) for k in t], [rate(k) for k in t], rtol=1e-13)
