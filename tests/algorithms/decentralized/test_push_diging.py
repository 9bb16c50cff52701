"""Push-DIGing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from algorithms import LearningRate, PushDiging, Sample, StepDecay
from tests.algorithms.decentralized.push_sum_graphs import COLUMNS, DOUBLY, GRAPHS, full
from tests.algorithms.helpers import Array, least_squares, network_of, run, starts
from topologies import Schedule, random_out

STEPS = 100
DECAY = StepDecay(lr=0.03, milestones=(20, 90), factor=0.3)


def transcription(
    X: Array, gradient: Callable[[Array], Array], C: Callable[[int], Array], rate: Callable[[int], float], steps: int
) -> Array:
    """Algorithm 2 of the paper in its matrix form."""
    n = len(X)
    u, V, x, y = X, np.eye(n), X, gradient(X)
    models = [x]
    for k in range(steps):
        u = C(k) @ (u - rate(k) * y)
        V = np.diag(C(k) @ V @ np.ones(n))
        x_next = np.linalg.inv(V) @ u
        y = C(k) @ y + gradient(x_next) - gradient(x)
        x = x_next
        models.append(x)
    return np.stack(models)


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize(("lr", "rate"), [(0.02, lambda t: 0.02), (DECAY, DECAY)], ids=["constant", "decay"])
def test_transcription(lr: float | LearningRate, rate: Callable[[int], float], topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(PushDiging(lr), topology, problem, x, STEPS)
    wanted = transcription(x, problem.gradient, full(topology), rate, STEPS)
    assert np.abs(got.models - wanted).max() <= 1e-10
    np.testing.assert_array_equal(got.models, got.points)
    assert got.rounds == STEPS


@pytest.mark.parametrize("topology", COLUMNS.values(), ids=COLUMNS)
def test_it_tracks_the_sum_of_the_gradients_also_of_stochastic_ones(topology: Schedule) -> None:
    network = network_of(topology)
    algorithm = PushDiging(lr=0.02)
    random = np.random.default_rng(0)
    x = random.normal(size=(topology.n, 3))
    state = algorithm.start(torch.tensor(x), network)
    total = x.sum(axis=0)
    for _ in range(50):
        gradient = random.normal(size=x.shape)  # as noisy as can be
        total -= 0.02 * gradient.sum(axis=0)  # in the sum y is the gradient of this very step
        algorithm.advance(state, Sample(torch.tensor(gradient), torch.zeros(topology.n)), network)
        np.testing.assert_allclose(state.mixed_tracker.numpy().sum(axis=0), gradient.sum(axis=0), rtol=0, atol=1e-12)
        np.testing.assert_allclose(state.push_sum.numerator.numpy().sum(axis=0), total, rtol=0, atol=1e-12)
        assert abs(float(state.push_sum.weight.sum()) - topology.n) < 1e-12


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
def test_it_reaches_the_optimum_with_a_constant_step(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    final = run(PushDiging(lr=0.06), topology, problem, starts(problem), 800).final
    assert np.abs(final - problem.optimum).max() <= 1e-8


@pytest.mark.parametrize("topology", DOUBLY.values(), ids=DOUBLY)
def test_on_doubly_stochastic_matrices_it_is_gradient_tracking(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(PushDiging(lr=0.02), topology, problem, x, STEPS).models
    y = problem.gradient(x)
    for t in range(STEPS):
        W = full(topology)(t)
        after = W @ (x - 0.02 * y)
        y = W @ y + problem.gradient(after) - problem.gradient(x)
        x = after
        assert np.abs(got[t + 1] - x).max() <= 1e-11


def test_bytes_by_hand() -> None:
    topology = random_out(9, degree=3)
    problem = least_squares(9, d=11)
    result = run(PushDiging(), topology, problem, starts(problem), 7)
    assert result.messages.tolist() == [3 * 7 * 3] * 9
    assert result.bytes.tolist() == [7 * 3 * (2 * 11 + 1) * 8] * 9


def test_refusals() -> None:
    with pytest.raises(ValueError, match="lr = -1"):
        PushDiging(lr=-1)
