"""Methods with local steps and a local optimizer of their own choice, by literal equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from algorithms import (
    SGD,
    AdamW,
    Algorithm,
    Clars,
    CocodSGD,
    CooperativeSGD,
    DecentralizedSGD,
    ElasticAveraging,
    GossipPGA,
    LeaderSGD,
    LocalSGD,
    NesterovMomentum,
    OverlapLocalSGD,
    StepDecay,
)
from tests.algorithms.helpers import Array, dense, least_squares, run, starts
from tests.algorithms.optimizers.literal import LiteralAdamW
from topologies import elastic_averaging, erdos_renyi, ring

STEPS = 100
TAU = 3
RATE = StepDecay(lr=0.03, milestones=(40, 41, 80), factor=0.3)
ADAMW = AdamW(beta1=0.8, beta2=0.95, epsilon=1e-4, weight_decay=0.1)
CLASSES = [LocalSGD, CooperativeSGD, CocodSGD, OverlapLocalSGD, LeaderSGD, GossipPGA, DecentralizedSGD]


def mean(X: Array) -> Array:
    return np.tile(X.mean(axis=0), (len(X), 1))


class Cocod:
    sent: Array | None = None

    def __call__(self, X: Array, W: Array) -> Array:
        if self.sent is not None:
            X = mean(self.sent) + X - self.sent
        self.sent = X
        return X


class Overlap:
    def __init__(self, X: Array) -> None:
        self.z = mean(X)
        self.next: Array | None = None

    def __call__(self, X: Array, W: Array) -> Array:
        self.z = self.z if self.next is None else self.next
        X = 0.4 * X + 0.6 * self.z
        self.next = mean(X)
        return X


class Elastic:
    def __init__(self, X: Array) -> None:
        self.z = X.mean(axis=0)

    def __call__(self, Y: Array, W: Array) -> Array:
        n, alpha = len(Y), 2 / (len(Y) + 2)
        X = (1 - alpha) * Y + alpha * self.z
        self.z = (1 - n * alpha) * self.z + alpha * Y.sum(axis=0)
        return X


Exchange = Callable[[Array, Array], Array]
METHODS: dict[type[Algorithm], tuple[dict[str, float], Callable[[Array], Exchange]]] = {
    LocalSGD: ({}, lambda X: lambda X, W: mean(X)),
    CooperativeSGD: ({}, lambda X: lambda X, W: W @ X),
    CocodSGD: ({}, lambda X: Cocod()),
    OverlapLocalSGD: ({"beta": 0.0}, Overlap),
    ElasticAveraging: ({}, Elastic),
    LeaderSGD: ({"proximal": 0.0, "pull": 0.3}, lambda X: lambda X, W: 0.7 * X + 0.3 * X[0]),  # all losses are equal
}


@pytest.mark.parametrize("kind", METHODS)
def test_adamw_between_exchanges(kind: type[Algorithm]) -> None:
    topology = erdos_renyi(13)
    problem = least_squares(13)
    options, method = METHODS[kind]
    ran = run(kind(lr=RATE, period=TAU, optimizer=ADAMW, **options), topology, problem, starts(problem), STEPS)  # type: ignore[call-arg]
    X, W, rule = starts(problem), dense(topology), LiteralAdamW(0.8, 0.95, 1e-4, 0.1)
    exchange = method(X)
    wanted = [X]
    for t in range(STEPS):
        X = X - RATE(t) * rule.direction(X, problem.gradient(X))
        X = exchange(X, W) if (t + 1) % TAU == 0 else X
        wanted.append(X)
    assert np.abs(ran.points - np.stack(wanted)).max() <= 1e-10


def test_adamw_in_gossip_with_global_averages() -> None:
    problem, topology = least_squares(13), erdos_renyi(13)
    ran = run(GossipPGA(lr=RATE, period=TAU, optimizer=ADAMW), topology, problem, starts(problem), STEPS)
    X, W, rule = starts(problem), dense(topology), LiteralAdamW(0.8, 0.95, 1e-4, 0.1)
    for t in range(STEPS):
        X = X - RATE(t) * rule.direction(X, problem.gradient(X))
        X = mean(X) if (t + 1) % TAU == 0 else W @ X
    assert np.abs(ran.final - X).max() <= 1e-10


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_an_optimizer_to_the_last_bit(kind: type[Algorithm], nesterov: bool) -> None:
    problem = least_squares(8)
    points = [
        run(kind(lr=0.05, period=2, **options), ring(8), problem, starts(problem), 20).points  # type: ignore[call-arg]
        for options in ({"momentum": 0.7, "nesterov": nesterov}, {"optimizer": SGD(0.7, nesterov)})
    ]
    np.testing.assert_array_equal(*points)


def test_momentum_of_elastic_averaging_is_an_optimizer() -> None:
    problem = least_squares(8)
    for order in ("simultaneous", "sequential"):
        plain = ElasticAveraging(RATE, period=2, order=order, output="combined")  # type: ignore[arg-type]
        models = [
            run(algorithm, ring(8), problem, starts(problem), 20).models
            for algorithm in (replace(plain, momentum=0.7), replace(plain, optimizer=NesterovMomentum(0.7)))
        ]
        np.testing.assert_array_equal(*models)


def test_an_optimizer_starts_anew_where_it_shall() -> None:
    problem = least_squares(4)
    ran = run(LocalSGD(lr=0.03, period=5, reset_momentum=True, optimizer=ADAMW), ring(4), problem, starts(problem), 20)
    X = starts(problem)
    for t in range(20):
        if t % 5 == 0:
            rule = LiteralAdamW(0.8, 0.95, 1e-4, 0.1)
        X = X - 0.03 * rule.direction(X, problem.gradient(X))
        X = mean(X) if (t + 1) % 5 == 0 else X
    assert np.abs(ran.final - X).max() <= 1e-12


def test_weight_decay_does_not_touch_auxiliary_nodes() -> None:
    topology = elastic_averaging(7)
    x = np.random.default_rng(0).normal(size=(7, 3))
    flat = least_squares(7, 3)
    flat = type(flat)(np.zeros_like(flat.A), np.zeros_like(flat.b))
    algorithm = CooperativeSGD(0.1, period=100, auxiliary=1, optimizer=SGD(weight_decay=0.5))
    final = run(algorithm, topology, flat, x, 10).final
    np.testing.assert_array_equal(final[-1], x[-1])
    np.testing.assert_allclose(final[:-1], 0.95**10 * x[:-1])


def test_refusals() -> None:
    for kind in [*CLASSES, ElasticAveraging]:
        with pytest.raises(ValueError, match=rf"{kind.__name__}: momentum = 0.5 .* beside an optimizer"):
            kind(momentum=0.5, optimizer=SGD())  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"CooperativeSGD: optimizer = .* sends nothing beside auxiliary nodes"):
        CooperativeSGD(auxiliary=1, optimizer=Clars())
    assert not LocalSGD(optimizer=AdamW()).proportional
    assert LocalSGD(momentum=0.5).proportional and ElasticAveraging(momentum=0.5).proportional
