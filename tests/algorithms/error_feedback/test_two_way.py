"""DoubleSqueeze, dist-EF-SGD and SAEF: two-way error feedback, by a server node and replicated."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Compressor, Cosine, DistEFSGD, DoubleSqueeze, Identity, RandomK, ScaledSign, StepAheadSGD, TopK
from algorithms.error_feedback.two_way_method import TwoWayMethod
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
from tests.algorithms.helpers import Array, least_squares, run, starts
from topologies import ring

OPERATORS = pairs("up", "down")
SERVERS = ["node", "replicated"]


def two_way(p: Array, e: Array, s: Array, operators: tuple[Operator, Operator], t: int) -> tuple[Array, Array, Array]:
    """(the answer, e, s)."""
    up, down = operators
    p = p + e
    c = up(p, t)
    q = c.mean(axis=0, keepdims=True) + s
    answer = down(q, t)
    return answer, p - c, q - answer


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("compressor", "operators"), OPERATORS.values(), ids=OPERATORS)
def test_the_equations_of_double_squeeze(
    compressor: Compressor, operators: tuple[Operator, Operator], server: str
) -> None:
    problem, _, X = problem_and_start()
    e, s, wanted = np.zeros_like(X), np.zeros((1, X.shape[1])), [X]
    for t in range(STEPS):
        answer, e, s = two_way(problem.gradient(X), e, s, operators, t)
        X = X - decay(t) * answer
        wanted.append(X)
    close(models(DoubleSqueeze(lr=DECAY, compressor=compressor, server=server)), np.stack(wanted))  # type: ignore[arg-type]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize(("compressor", "operators"), OPERATORS.values(), ids=OPERATORS)
def test_the_equations_of_dist_ef_sgd(
    compressor: Compressor, operators: tuple[Operator, Operator], momentum: float, server: str
) -> None:
    problem, _, X = problem_and_start()
    e, s, m, wanted = np.zeros_like(X), np.zeros((1, X.shape[1])), np.zeros_like(X), [X]
    for t in range(STEPS):
        ratio = decay(t - 1) / decay(t) if t else 1.0
        G = problem.gradient(X)
        m = momentum * m + G
        answer, e, s = two_way(G + momentum * m, ratio * e, ratio * s, operators, t)
        X = X - decay(t) * answer
        wanted.append(X)
    algorithm = DistEFSGD(lr=DECAY, compressor=compressor, momentum=momentum, server=server)  # type: ignore[arg-type]
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("coefficient", "average_every", "momentum"), [(1.0, None, 0.6), (1.0, 4, 0.0), (0.3, 1, 0.6)])
@pytest.mark.parametrize(("compressor", "operators"), OPERATORS.values(), ids=OPERATORS)
def test_the_equations_of_step_ahead_error_feedback(
    compressor: Compressor,
    operators: tuple[Operator, Operator],
    coefficient: float,
    average_every: int | None,
    momentum: float,
    server: str,
) -> None:
    problem, _, X = problem_and_start()
    e, s, m, wanted = np.zeros_like(X), np.zeros((1, X.shape[1])), np.zeros_like(X), [X]
    for t in range(STEPS):
        if average_every and (t + 1) % average_every == 0:
            e = np.tile(e.mean(axis=0), (N, 1))
        m = momentum * m + problem.gradient(X - coefficient * e)
        answer, e, s = two_way(decay(t) * m, e, s, operators, t)
        X = X - answer
        wanted.append(X)
    algorithm = StepAheadSGD(
        lr=DECAY,
        compressor=compressor,
        momentum=momentum,
        coefficient=coefficient,
        average_every=average_every,
        server=server,  # type: ignore[arg-type]
    )
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize(
    "algorithm",
    [
        DoubleSqueeze(lr=0.05, compressor=TopK(k=1)),
        DistEFSGD(lr=0.05, compressor=RandomK(k=2), momentum=0.6),
        StepAheadSGD(lr=0.05, compressor=TopK(k=1), momentum=0.6, average_every=3),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_both_forms_of_the_server_have_the_same_bits_and_other_bytes(algorithm: TwoWayMethod) -> None:
    with_server, replicated = trained(algorithm), trained(algorithm.replicated())
    np.testing.assert_array_equal(with_server.models, replicated.models)
    assert with_server.bytes[:N].max() < replicated.bytes.max()


def test_what_was_lost_is_all_that_is_missing() -> None:
    """x - lr (s + mean e) moves as SGD would with the same gradients, also where the learning rate varies."""
    problem, _, X = problem_and_start()
    for algorithm, rate in (
        (DoubleSqueeze(lr=0.05, compressor=TopK(k=1)), lambda t: 0.05),
        (DistEFSGD(lr=DECAY, compressor=TopK(k=1)), decay),
    ):
        found = trained(algorithm)
        moved = sum(rate(t) * problem.gradient(points).mean(axis=0) for t, points in enumerate(found.points[:-1]))
        exchange = found.state.exchange  # type: ignore[attr-defined]
        lost = exchange.down.lost.numpy()[-1] + exchange.up.lost.numpy()[:N].mean(axis=0)
        close(found.final[0] - rate(STEPS - 1) * lost, X[0] - moved)


def test_for_a_constant_learning_rate_dist_ef_sgd_is_double_squeeze() -> None:
    first, second = (models(kind(lr=0.05, compressor=TopK(k=2))) for kind in (DoubleSqueeze, DistEFSGD))
    np.testing.assert_array_equal(first, second)


def test_a_single_node_that_steps_ahead_follows_sgd_whatever_the_operator() -> None:
    problem = least_squares(1)
    algorithm = StepAheadSGD(lr=0.05, compressor=TopK(k=1), server_compressor=Identity())
    found = run(algorithm, ring(1), problem, starts(problem), STEPS)
    x = starts(problem)
    for points in found.points:
        close(points, x)  # y = x - e
        x = x - 0.05 * problem.gradient(x)


@pytest.mark.parametrize("kind", [DoubleSqueeze, DistEFSGD, StepAheadSGD])
def test_without_compression_they_are_sgd(kind: type[TwoWayMethod]) -> None:
    close(models(kind(lr=DECAY, compressor=Identity())), momentum_sgd(decay))


def test_with_momentum_it_is_that_of_nesterov() -> None:
    found = models(DistEFSGD(lr=DECAY, compressor=Identity(), momentum=0.6))
    close(found, momentum_sgd(decay, 0.6, nesterov=True))


def test_a_learning_rate_of_0_moves_and_loses_nothing() -> None:
    found = trained(DistEFSGD(lr=Cosine(lr=0.05, steps=10), compressor=TopK(k=1)), steps=30)
    assert np.isfinite(found.final).all()
    np.testing.assert_array_equal(found.models[10], found.final)


def test_what_they_send() -> None:
    """Up and down a message of a header, a scale and signs; at the start a vector; errors now and then."""
    found = trained(StepAheadSGD(lr=0.05, compressor=ScaledSign(), average_every=6), steps=12)
    message, vector = 24 + 8 + 1, 5 * 8
    per_node = 12 * message + vector + 2 * vector
    assert found.bytes.tolist() == [per_node] * N + [N * per_node]
    assert found.messages.tolist() == [15] * N + [N * 15]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": 0.0}, "lr"),
        ({"server": "none"}, "server"),
        ({"coefficient": 1.5}, "coefficient"),
        ({"average_every": 0}, "average_every"),
        ({"momentum": 1.0}, "momentum"),
        ({"nesterov": True}, "nesterov"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StepAheadSGD(**options)  # type: ignore[arg-type]
