"""ZenoPS: local steps, compression with error reset, and updates that must go the way of the validator's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Attacked, Compressor, Identity, SignFlip, ZenoPS
from tests.algorithms.error_feedback.literal import (
    DECAY,
    STEPS,
    N,
    Operator,
    close,
    decay,
    models,
    pairs,
    problem_and_start,
    trained,
)
from tests.algorithms.helpers import Array, network_of, starts
from topologies import ring

OPERATORS = pairs("updates")
EVERYTHING = {"threshold": -1e9, "excess": 1e9}


def literal(operator: Operator, period: int, momentum: float, threshold: float, excess: float) -> tuple[Array, int]:
    """(w after each iteration (STEPS + 1, n, d), how many updates were accepted)."""
    problem, _, X = problem_and_start()
    w, C, V, found, count, rounds = X[0], X.copy(), np.zeros_like(X), [X], 0, 0
    for t in range(STEPS):
        G = problem.gradient(X)
        V = momentum * V + G
        X = X - decay(t) * (G + momentum * V)
        if (t + 1) % period == 0:
            D = X - C
            U, v = operator(D, rounds)[:-1], D[-1]
            rounds += 1
            accepted = [u for u in U if u @ v > threshold * v @ v and u @ u < (1 + excess) * v @ v]
            count += len(accepted)
            w = w + (np.mean(accepted, axis=0) if accepted else 0)
            X = w + np.concatenate([D[:-1] - U, np.zeros((1, len(w)))])
            C = X.copy()
        found.append(np.tile(w, (N, 1)))
    return np.stack(found), count


@pytest.mark.parametrize(("period", "momentum", "excess"), [(1, 0.0, 20.0), (3, 0.6, 6.0)])
@pytest.mark.parametrize(("compressor", "operators"), OPERATORS.values(), ids=OPERATORS)
def test_the_equations(
    compressor: Compressor, operators: tuple[Operator], period: int, momentum: float, excess: float
) -> None:
    for options in ({"threshold": -1.0, "excess": excess}, EVERYTHING):
        algorithm = ZenoPS(lr=DECAY, period=period, compressor=compressor, momentum=momentum, **options)
        wanted, accepted = literal(operators[0], period, momentum, **options)
        close(models(algorithm), wanted)
        every = STEPS // period * (N - 1)
        assert accepted == every if options is EVERYTHING else 0 < accepted < every


def test_all_accepted_without_compression_it_is_local_sgd() -> None:
    problem, _, X = problem_and_start()
    for t, found in enumerate(trained(ZenoPS(lr=0.05, period=3, compressor=Identity(), **EVERYTHING)).points):
        close(found[:-1], X[:-1])
        X = X - 0.05 * problem.gradient(X)
        if (t + 1) % 3 == 0:
            X = np.tile(X[:-1].mean(axis=0), (N, 1))


def test_where_nothing_is_accepted_nothing_moves() -> None:
    found = models(ZenoPS(lr=0.05, period=2, compressor=Identity(), threshold=1e6))
    np.testing.assert_array_equal(found, np.broadcast_to(found[0], found.shape))


def test_what_goes_the_other_way_is_refused() -> None:
    """Flipped signs, whose size alone would do: the others' average is what moves."""
    options = {"lr": 0.02, "period": 2, "compressor": Identity(), "threshold": 0.0, "excess": 1e9}
    attacked = models(Attacked(ZenoPS(**options), SignFlip(), attackers=(0, 1, 2, 3)))  # type: ignore[arg-type]
    problem, _, X = problem_and_start()
    w = X[0]
    for t in range(STEPS):
        close(attacked[t], np.tile(w, (N, 1)))
        X = X - 0.02 * problem.gradient(X)
        if t % 2:
            D = X - w
            accepted = [-u for u in D[:-1] if -u @ D[-1] > 0]
            w = w + (np.mean(accepted, axis=0) if accepted else 0)
            X = np.tile(w, (N, 1))


def test_what_it_sends() -> None:
    """A dense row up by each node but the validator, and one down to each, every third iteration."""
    algorithm = ZenoPS(lr=0.05, period=3, compressor=Identity())
    before, found = trained(algorithm, steps=2), trained(algorithm, steps=12)
    up, down = 4 * (5 * 8 + 24), 4 * 5 * 8  # in a message there is a header
    assert (found.bytes - before.bytes).tolist() == [up] * (N - 1) + [(N - 1) * down]
    assert (found.messages - before.messages).tolist() == [4] * (N - 1) + [(N - 1) * 4]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": 0.0}, "lr"),
        ({"period": 0}, "period"),
        ({"momentum": 1.0}, "momentum"),
        ({"threshold": float("nan")}, "threshold"),
        ({"excess": 0.0}, "excess"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ZenoPS(**options)  # type: ignore[arg-type]


def test_the_validator_alone_is_refused() -> None:
    problem, _, _ = problem_and_start()
    with pytest.raises(ValueError, match="at least 2 nodes"):
        ZenoPS().start(torch.from_numpy(starts(problem)[:1]), network_of(ring(1)))
