"""Local steps between compressed exchanges: Qsparse-local-SGD, double compression, and CSER."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import (
    Compressor,
    Cser,
    DoubleCompressionSGD,
    DoubleSqueeze,
    ErrorFeedbackSGD,
    Identity,
    LocalSGD,
    QsparseLocalSGD,
    RandomBlock,
    TopK,
)
from tests.algorithms.error_feedback.literal import (
    DECAY,
    STEPS,
    N,
    Operator,
    close,
    decay,
    models,
    momentum_sgd,
    pairs,
    problem_and_start,
    trained,
)
from tests.algorithms.helpers import Array, run
from topologies import ring

PERIOD = 3
BOTH_WAYS, ONE_WAY, TWO_KINDS = pairs("up", "down"), pairs("compression"), pairs("gradients", "errors")
SERVERS = ["node", "replicated"]


def rounds(operator: Operator) -> Operator:
    """The operator with the draws of iteration t, where rounds end in every PERIOD-th iteration only."""
    return lambda Z, t: operator(Z, t // PERIOD)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize(("compressor", "operators"), ONE_WAY.values(), ids=ONE_WAY)
def test_the_equations_of_qsparse_local_sgd(
    compressor: Compressor, operators: tuple[Operator], momentum: float, server: str
) -> None:
    problem, _, X = problem_and_start()
    x, e, v, wanted = X[:1], np.zeros_like(X), np.zeros_like(X), [X]
    for t in range(STEPS):
        v = momentum * v + problem.gradient(X)
        X = X - decay(t) * v
        if (t + 1) % PERIOD == 0:
            p = e + x - X
            c = rounds(operators[0])(p, t)
            e = p - c
            x = x - c.mean(axis=0)
            X = np.tile(x, (N, 1))
        wanted.append(X)
    algorithm = QsparseLocalSGD(lr=DECAY, period=PERIOD, compressor=compressor, momentum=momentum, server=server)  # type: ignore[arg-type]
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kept", ["local", "reset", "average"])
@pytest.mark.parametrize(("compressor", "operators"), BOTH_WAYS.values(), ids=BOTH_WAYS)
def test_the_equations_of_double_compression(
    compressor: Compressor, operators: tuple[Operator, Operator], kept: str, server: str
) -> None:
    problem, _, X = problem_and_start()
    x, e, s, v, wanted = X[:1], np.zeros_like(X), np.zeros((1, X.shape[1])), np.zeros_like(X), [X]
    for t in range(STEPS):
        v = 0.6 * v + problem.gradient(X)
        X = X - decay(t) * v
        if (t + 1) % PERIOD == 0:
            p = x - X + e
            c = rounds(operators[0])(p, t)
            q = c.mean(axis=0, keepdims=True) + s
            answer = rounds(operators[1])(q, t)
            e, s, x = p - c, q - answer, x - answer
            X = np.tile(x, (N, 1))
            v = {"local": v, "reset": 0 * v, "average": np.tile(v.mean(axis=0), (N, 1))}[kept]
        wanted.append(X)
    algorithm = DoubleCompressionSGD(
        lr=DECAY,
        period=PERIOD,
        compressor=compressor,
        momentum=0.6,
        momentum_at_exchange=kept,  # type: ignore[arg-type]
        server=server,  # type: ignore[arg-type]
    )
    close(models(algorithm), np.stack(wanted))


def psync(v: Array, operator: Operator, t: int) -> tuple[Array, Array]:
    c = operator(v, t)
    return v - c + c.mean(axis=0), v - c


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize(("compressor", "operators"), TWO_KINDS.values(), ids=TWO_KINDS)
def test_the_equations_of_cser(compressor: Compressor, operators: tuple[Operator, Operator], momentum: float) -> None:
    problem, _, X = problem_and_start()
    e, m, wanted = np.zeros_like(X), np.zeros_like(X), [X]
    for t in range(STEPS):
        G = problem.gradient(X)
        m = momentum * m + G
        synced, r = psync(G + momentum * m, operators[0], t)
        X, e = X - decay(t) * synced, e - decay(t) * r
        if (t + 1) % PERIOD == 0:
            synced, r = psync(e, operators[1], t)
            X, e = X - e + synced, r
        wanted.append(X)
    algorithm = Cser(lr=DECAY, compressor=compressor, reset_compressor=compressor, period=PERIOD, momentum=momentum)
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("compressor", [None, TopK(k=1), RandomBlock(ratio=4)])
def test_models_less_errors_are_the_same_and_the_mean_moves_as_sgd(
    compressor: Compressor | None, momentum: float
) -> None:
    problem, _, X = problem_and_start()
    found = trained(Cser(lr=DECAY, compressor=compressor, reset_compressor=TopK(k=2), period=4, momentum=momentum))
    common = found.final - found.state.error.numpy()  # type: ignore[attr-defined]
    close(common, np.tile(common[0], (N, 1)))
    assert found.final.std(axis=0).max() > 1e-3
    x, m = X[0], 0.0
    for t in range(STEPS):
        g = problem.gradient(found.points[t]).mean(axis=0)
        m = momentum * m + g
        x = x - decay(t) * (g + momentum * m)
        close(found.models[t + 1].mean(axis=0), x)


@pytest.mark.parametrize(
    ("special", "general"),
    [
        (LocalSGD(lr=DECAY, period=3), QsparseLocalSGD(lr=DECAY, period=3, compressor=Identity())),
        (LocalSGD(lr=DECAY, period=3), DoubleCompressionSGD(lr=DECAY, period=3, compressor=Identity())),
        (LocalSGD(lr=DECAY, period=3), Cser(lr=DECAY, period=3, compressor=None, reset_compressor=Identity())),
        (
            ErrorFeedbackSGD(lr=DECAY, compressor=TopK(k=2)),
            QsparseLocalSGD(lr=DECAY, period=1, compressor=TopK(k=2)),
        ),
        (
            QsparseLocalSGD(lr=DECAY, period=3, compressor=TopK(k=2)),
            DoubleCompressionSGD(lr=DECAY, period=3, compressor=TopK(k=2), server_compressor=Identity()),
        ),
        (
            DoubleSqueeze(lr=0.05, compressor=TopK(k=2)),  # which does not mind whether lr is inside
            DoubleCompressionSGD(lr=0.05, period=1, compressor=TopK(k=2)),
        ),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_what_they_are_at_the_ends_of_their_ranges(special: Any, general: Any) -> None:
    problem, _, X = problem_and_start()  # some methods do not begin with the mean of all starts
    first, second = (run(each, ring(N), problem, X, STEPS).models for each in (special, general))
    close(first, second)


def test_with_all_gradients_sent_cser_is_sgd() -> None:
    close(models(Cser(lr=DECAY, compressor=Identity(), reset_compressor=TopK(k=1))), momentum_sgd(decay))


def test_what_they_send() -> None:
    """In every third iteration two values and their places up, and a vector down; at the start a vector each way."""
    found = trained(QsparseLocalSGD(lr=0.05, period=3, compressor=TopK(k=2)), steps=12)
    message, vector = 24 + 2 * 8 + 1 + 1, 5 * 8
    assert found.bytes.tolist() == [vector + 4 * message] * N + [N * 5 * vector]


def test_a_replicated_server_of_qsparse_averages_blocks_in_their_domain() -> None:
    """With the bits of a server of its own; and each block goes up and down a tree, and not to all others whole."""
    by_server, replicated = (
        trained(QsparseLocalSGD(lr=0.05, period=3, compressor=RandomBlock(ratio=5), server=server), steps=12)  # type: ignore[arg-type]
        for server in SERVERS
    )
    assert np.array_equal(by_server.final[:N], replicated.final[:N])
    assert replicated.bytes.sum() == 2 * (N - 1) * (5 + 4 * 1) * 8


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (QsparseLocalSGD, {"period": 0}, "period"),
        (DoubleCompressionSGD, {"period": 0}, "period"),
        (DoubleCompressionSGD, {"momentum_at_exchange": "reset"}, "momentum_at_exchange"),
        (DoubleCompressionSGD, {"momentum": 0.5, "momentum_at_exchange": "never"}, "momentum_at_exchange"),
        (Cser, {"period": 0}, "period"),
        (Cser, {"momentum": 1.0}, "momentum"),
    ],
)
def test_what_is_out_of_range_is_refused(kind: Any, options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**options)
