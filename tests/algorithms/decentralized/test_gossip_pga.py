"""Gossip-PGA."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from algorithms import DecentralizedSGD, GossipPGA, LearningRate, StepDecay
from tests.algorithms.helpers import ALL, Array, common, fixed, least_squares, run, starts
from topologies import RandomizedGossip, Schedule, Topology, complete, ring

STEPS = 100
DECAY = StepDecay(lr=0.03, milestones=(20, 90), factor=0.3)
GRAPHS: dict[str, Schedule] = ALL | {"randomized-6": RandomizedGossip(ring(6), seed=2)}


def transcription(
    X: Array,
    gradient: Callable[[Array], Array],
    W: Callable[[int], Array],
    rate: Callable[[int], float],
    steps: int,
    H: int,
    beta: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """Algorithm 1 of the paper."""
    n = len(X)
    u = np.zeros_like(X)
    models = [X]
    for k in range(steps):
        g = gradient(X)
        u = beta * u + g
        half = X - rate(k) * (g + beta * u if nesterov else u)
        X = np.ones((n, n)) / n @ half if (k + 1) % H == 0 else W(k) @ half
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize(
    ("lr", "rate", "period", "momentum", "nesterov"),
    [(0.02, lambda t: 0.02, 6, 0.0, False), (DECAY, DECAY, 3, 0.8, False), (DECAY, DECAY, 1, 0.8, True)],
    ids=["6", "3-heavy-ball", "1-nesterov"],
)
def test_transcription(
    lr: float | LearningRate,
    rate: Callable[[int], float],
    period: int,
    momentum: float,
    nesterov: bool,
    topology: Schedule,
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(GossipPGA(lr, period, momentum, nesterov), topology, problem, x, STEPS)
    weights = lambda t: topology[t].matrix.toarray()  # noqa: E731
    wanted = transcription(x, problem.gradient, weights, rate, STEPS, period, momentum, nesterov)
    assert np.abs(got.models - wanted).max() <= 1e-10
    assert got.rounds == STEPS


def test_its_limits_are_other_methods() -> None:
    problem = least_squares(13)
    x = starts(problem)

    def models(algorithm: GossipPGA | DecentralizedSGD, topology: Topology) -> Array:
        return run(algorithm, topology, problem, x, 50).models

    assert np.abs(models(GossipPGA(0.02, 1), ring(13)) - models(DecentralizedSGD(0.02), complete(13))).max() <= 1e-12
    np.testing.assert_array_equal(models(GossipPGA(0.02, 99), ring(13)), models(DecentralizedSGD(0.02), ring(13)))
    local = models(DecentralizedSGD(0.02, period=5), complete(13))
    assert np.abs(models(GossipPGA(0.02, 5), fixed(np.eye(13))) - local).max() <= 1e-12


def test_the_nodes_agree_after_each_period_and_the_bias_is_smaller_than_that_of_gossip() -> None:
    problem = least_squares(16)
    result = run(GossipPGA(lr=0.02, period=4), ring(16), problem, common(problem), 2000).models
    for t in range(1, 40):
        assert (np.ptp(result[t], axis=0).max() == 0) == (t % 4 == 0)
    gossip = run(DecentralizedSGD(lr=0.02), ring(16), problem, common(problem), 2000).final
    bias, of_gossip = (np.abs(each.mean(axis=0) - problem.optimum).max() for each in (result[-1], gossip))
    assert 1e-5 < bias < of_gossip / 2


def test_bytes_by_hand() -> None:
    problem = least_squares(8, d=11)
    result = run(GossipPGA(period=3), ring(8), problem, starts(problem), 7)  # 5 rounds of gossip, 2 averages
    assert result.messages.sum() == 5 * 2 * 8 + 2 * 2 * 7
    assert result.bytes.sum() == result.messages.sum() * 88


def test_refusals() -> None:
    for wrong, says in (({"lr": 0}, "lr = 0"), ({"period": 0}, "period = 0"), ({"nesterov": True}, "nesterov")):
        with pytest.raises(ValueError, match=says):
            GossipPGA(**wrong)
