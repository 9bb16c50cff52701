"""SQuARM-SGD and SPARQ-SGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import (
    ChocoSGD,
    Identity,
    PerTensor,
    SignTopK,
    SparqSGD,
    SquarmSGD,
    StepDecay,
    StepwiseThreshold,
    TopK,
)
from algorithms.blocks.trigger import Trigger
from tests.algorithms import reference
from tests.algorithms.helpers import (
    ALL,
    Array,
    LeastSquares,
    alternating,
    common,
    dense,
    flat,
    least_squares,
    run,
    starts,
)
from topologies import Schedule, complete, ring

STEPS = 200
DECAY = StepDecay(lr=0.02, milestones=(60, 150), factor=0.4)
GROWING = StepwiseThreshold(start=2.0, step=6.0, every=30, until=120)
TOPOLOGIES = {name: ALL[name] for name in ("ring-16", "ring-13", "erdos_renyi-13", "one_peer_exponential-13")}
TOPOLOGIES["alternating-12"] = alternating(12)


def sign_top_1_of_tensors(x: Array) -> Array:
    """Of two tensors of 2 and 3 entries."""
    result = np.zeros_like(x)
    for part in (slice(0, 2), slice(2, 5)):
        i = np.argmax(np.abs(x[part]))
        result[part][i] = np.abs(x[part][i]) * np.sign(x[part][i])
    return result


COMPRESSORS: dict[str, tuple[Any, Callable[[Array], Array]]] = {
    "identity": (Identity(), lambda x: x),
    "top-2": (TopK(k=2), lambda x: reference.top_k(x, 2)),
    "sign-top": (PerTensor(SignTopK(k=1), shapes=((2,), (3,))), sign_top_1_of_tensors),
}


def literal(
    X: Array,
    gradient: reference.Gradient,
    topology: Schedule,
    steps: int,
    compress: Callable[[Array], Array],
    rate: reference.Rate,
    c: Callable[[int], float],
    beta: float,
    H: int,
    gamma: float,
) -> tuple[Array, Array]:
    """(models, how often each node fired): each node has a copy of each neighbour, for each round of a period."""
    n, d = X.shape
    P = len(topology)
    hat = np.full((P, n, n, d), np.nan)  # what nobody ever told a node it does not know
    for p in range(P):
        for i in range(n):
            for j in range(n):
                if i == j or dense(topology[p])[i, j]:
                    hat[p, i, j] = 0
    V = np.zeros_like(X)
    fired = np.zeros(n, int)
    models = [X]
    rounds = 0
    for t in range(steps):
        G = gradient(X)
        V = beta * V + G
        X = X - rate(t) * (beta * V + G)
        if (t + 1) % H == 0:
            p = rounds % P
            W = dense(topology[rounds])
            for j in range(n):
                delta = X[j] - hat[p, j, j]
                if delta @ delta > c(t) * rate(t) ** 2:
                    fired[j] += 1
                    q = compress(delta)
                    for i in range(n):
                        if i == j or W[i, j]:
                            hat[p, i, j] += q
            X = X + gamma * np.stack(
                [sum(W[i, j] * (hat[p, i, j] - hat[p, i, i]) for j in range(n) if W[i, j]) for i in range(n)]
            )
            rounds += 1
        models.append(X)
    return np.stack(models), fired


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
@pytest.mark.parametrize(
    ("compressor", "H", "beta"), [("identity", 1, 0.5), ("top-2", 3, 0.8), ("sign-top", 5, 0.9), ("top-2", 1, 0.0)]
)
def test_literal_transcription(compressor: str, H: int, beta: float, topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    operator, compress = COMPRESSORS[compressor]
    algorithm = SquarmSGD(lr=DECAY, momentum=beta, period=H, threshold=GROWING, gamma=0.3, compressor=operator)
    got = run(algorithm, topology, problem, x, STEPS)
    rate = lambda t: 0.02 if t < 60 else 0.008 if t < 150 else 0.0032  # noqa: E731
    c = lambda t: 2.0 + 6.0 * (min(t, 120) // 30)  # noqa: E731
    models, fired = literal(x, problem.gradient, topology, STEPS, compress, rate, c, beta, H, 0.3)
    assert np.abs(got.models - models).max() <= 1e-10
    syncs = STEPS // H
    assert 0 < fired.sum() < syncs * topology.n  # both happen
    share = algorithm.report(got.state)["share_fired"]
    np.testing.assert_array_equal(share.numpy(), fired / syncs)
    # One byte where a node is silent; else a header of 24 bytes and the payload.
    if compressor == "identity":
        degrees = sum((dense(topology[r]) != 0).sum(axis=0) - 1 for r in range(syncs))
        if topology.static:
            np.testing.assert_array_equal(got.bytes, degrees // syncs * (fired * (24 + 8 * 5) + (syncs - fired)))
        np.testing.assert_array_equal(got.messages, degrees)
    assert got.rounds == syncs


def test_nobody_fires_at_an_infinite_threshold() -> None:
    problem = least_squares(8)
    algorithm = SquarmSGD(lr=0.02, period=2, threshold=np.inf, gamma=0.5, compressor=TopK(k=1))
    got = run(algorithm, ring(8), problem, starts(problem), 30)
    assert algorithm.report(got.state)["share_fired"].tolist() == [0.0] * 8
    assert got.bytes.tolist() == got.messages.tolist() == [2 * 15] * 8
    X, V = starts(problem), 0.0
    for t in range(30):
        G = problem.gradient(X)
        V = 0.9 * V + G
        X = X - 0.02 * (G + 0.9 * V)
        assert np.abs(got.models[t + 1] - X).max() <= 1e-12


def test_an_infinite_threshold_holds_without_a_learning_rate_and_nan_fires() -> None:
    trigger = Trigger.start(torch.zeros(3, 2))
    moved = torch.tensor([[1.0, 0.0], [0.0, 0.0], [torch.nan, 0.0]])
    assert trigger.fires(moved, np.inf, 0.0).tolist() == [False, False, True]
    assert trigger.fires(moved, 0.0, 0.1).tolist() == [True, False, True]
    assert trigger.fires(moved, 100.0, 0.1).tolist() == [False, False, True]  # 1 > 100 * 0.01 does not hold
    assert trigger.fires(moved, 99.0, 0.1).tolist() == [True, False, True]
    assert trigger.share().tolist() == [0.5, 0.0, 1.0]


@pytest.mark.parametrize("topology", [ring(13), ALL["one_peer_exponential-13"]], ids=str)
def test_without_momentum_period_and_threshold_it_is_choco(topology: Schedule) -> None:
    problem = least_squares(13)
    x = starts(problem)
    options: dict[str, Any] = {"lr": DECAY, "gamma": 0.3, "compressor": TopK(k=2)}
    squarm = run(SquarmSGD(momentum=0.0, period=1, threshold=0.0, **options), topology, problem, x, STEPS)
    choco = run(ChocoSGD(order="icml", **options), topology, problem, x, STEPS)
    np.testing.assert_array_equal(squarm.models, choco.models)
    np.testing.assert_array_equal(squarm.bytes, choco.bytes)


@pytest.mark.parametrize("gamma", [0.3, "theory", "auto"])
def test_sparq_is_squarm_without_momentum(gamma: Any) -> None:
    problem = least_squares(13)
    options: dict[str, Any] = {"lr": DECAY, "period": 3, "threshold": GROWING, "gamma": gamma, "compressor": TopK(k=2)}
    sparq = run(SparqSGD(**options), ring(13), problem, starts(problem), 60)
    squarm = run(SquarmSGD(momentum=0.0, **options), ring(13), problem, starts(problem), 60)
    np.testing.assert_array_equal(sparq.models, squarm.models)
    np.testing.assert_array_equal(sparq.bytes, squarm.bytes)
    assert sparq.state.momentum.buffer is None
    with pytest.raises(TypeError, match="momentum"):
        SparqSGD(momentum=0.5)  # type: ignore[call-arg]


@pytest.mark.parametrize("H", [1, 4])
def test_exact_averaging_is_local_nesterov_sgd_with_buffers_of_their_own(H: int) -> None:
    problem = least_squares(8)
    algorithm = SquarmSGD(lr=0.02, momentum=0.8, period=H, gamma=1.0)
    got = run(algorithm, complete(8), problem, common(problem), 60).models
    X, V = common(problem), np.zeros((8, 5))
    for t in range(60):
        G = problem.gradient(X)
        V = 0.8 * V + G
        X = X - 0.02 * (G + 0.8 * V)
        if (t + 1) % H == 0:
            X = np.tile(X.mean(axis=0), (8, 1))
        assert np.abs(got[t + 1] - X).max() <= 1e-12
    if H == 1:  # the same as one SGD on the average
        x, v = common(problem)[0], np.zeros(5)
        for _ in range(60):
            g = problem.gradient(np.tile(x, (8, 1))).mean(axis=0)
            v = 0.8 * v + g
            x = x - 0.02 * (g + 0.8 * v)
        assert np.abs(got[-1] - x).max() <= 1e-12


def test_gossip_keeps_the_mean() -> None:
    for topology in TOPOLOGIES.values():
        problem = flat(topology.n, 5)
        x = starts(problem)
        algorithm = SquarmSGD(lr=1.0, threshold=0.05, gamma=0.4, period=1, compressor=TopK(k=2))
        got = run(algorithm, topology, problem, x, 150)
        assert np.abs(got.models.mean(axis=1) - x.mean(axis=0)).max() <= 1e-12
        assert np.abs(got.final - x.mean(axis=0)).max() < 0.5
        assert 0 < algorithm.report(got.state)["share_fired"].mean() < 0.9


def distance(algorithm: SquarmSGD, problem: LeastSquares) -> float:
    final = run(algorithm, ring(8), problem, starts(problem), 500).final
    return float(np.abs(final.mean(axis=0) - problem.optimum).max())


def test_it_comes_close_to_the_optimum_with_a_bias_that_shrinks() -> None:
    problem = least_squares(8)
    algorithm = SquarmSGD(lr=0.02, momentum=0.5, period=2, threshold=1.0, gamma=0.3, compressor=TopK(k=2))
    assert distance(algorithm, problem) < 0.3
    assert 1e-5 < distance(replace(algorithm, lr=0.01), problem) < distance(algorithm, problem)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lr", [0, -1.0, np.nan]),
        ("momentum", [-0.1, 1.0]),
        ("period", [0, -1]),
        ("threshold", [-1.0, np.nan, "big"]),
        ("gamma", [0.0, 1.5, np.nan, "best"]),
    ],
)
def test_refusals(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=rf"^SquarmSGD: {name} = .* is not allowed; it must be .*$"):
            SquarmSGD(**{name: value})


def test_refusals_of_threshold_schedules() -> None:
    for bad in ({"start": -1.0}, {"start": np.inf}, {"step": -0.1}, {"every": 0}, {"until": -1}):
        with pytest.raises(ValueError, match=rf"^StepwiseThreshold: {next(iter(bad))} = "):
            StepwiseThreshold(**bad)  # type: ignore[arg-type]
    growing = StepwiseThreshold(start=2.5, step=1.5, every=20, until=100)
    assert [growing(t) for t in (0, 19, 20, 39, 40, 99, 100, 10_000)] == [2.5, 2.5, 4.0, 4.0, 5.5, 8.5, 10.0, 10.0]
    assert StepwiseThreshold(start=0.0, step=1.0, every=10)(10_000) == 1000.0
