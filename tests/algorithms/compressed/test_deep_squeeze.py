"""DeepSqueeze: its equations, what it is without compression, and its bias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from algorithms import Compressor, DecentralizedSGD, DeepSqueeze, Identity, TopK
from tests.algorithms.compressed.literal import DECAY, decay, states
from tests.algorithms.helpers import ALL, Array, dense, flat, least_squares, run, starts
from tests.algorithms.reference import Gradient, Rate, top_k
from topologies import Schedule, ring

STEPS = 100


def deep_squeeze(
    X: Array,
    gradient: Gradient,
    W: Callable[[int], Array],
    rate: Rate,
    steps: int,
    gamma: float,
    compress: Callable[[Array], Array],
) -> Array:
    n = len(X)
    error = np.zeros_like(X)
    models = [X]
    for t in range(steps):
        move = rate(t) * gradient(X)
        V = X - move + error
        C = np.stack([compress(v) for v in V])
        error = V - C
        X = X - move + gamma * (W(t) - np.eye(n)) @ C
        models.append(X)
    return np.stack(models)


OPERATORS = {
    "identity": (Identity(), 0.9, lambda x: x),
    "top-3": (TopK(k=3), 0.2, lambda x: top_k(x, 3)),
}


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@pytest.mark.parametrize(("compressor", "gamma", "compress"), OPERATORS.values(), ids=OPERATORS)
def test_the_equations_of_the_paper(
    compressor: Compressor, gamma: float, compress: Callable[[Array], Array], topology: Schedule
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    models = run(DeepSqueeze(lr=DECAY, gamma=gamma, compressor=compressor), topology, problem, x, STEPS).models
    wanted = deep_squeeze(x, problem.gradient, lambda t: dense(topology[t]), decay, STEPS, gamma, compress)
    assert np.abs(models - wanted).max() <= 1e-10


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_without_compression_it_is_adapt_then_combine(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    models, wanted = (
        run(algorithm, topology, problem, starts(problem), STEPS).models
        for algorithm in (DeepSqueeze(lr=DECAY, gamma=1.0), DecentralizedSGD(lr=DECAY))
    )
    assert np.abs(models - wanted).max() <= 1e-12


def test_without_gradients_the_mean_stays() -> None:
    problem = flat(13, 5)
    x = starts(problem)
    models = run(DeepSqueeze(gamma=0.1, compressor=TopK(k=3)), ring(13), problem, x, STEPS).models
    np.testing.assert_allclose(models.mean(axis=1), np.tile(x.mean(axis=0), (STEPS + 1, 1)), atol=1e-12)


def test_it_keeps_a_bias_that_shrinks_with_the_learning_rate() -> None:
    problem = least_squares(8)
    biases = []
    for lr in (0.02, 0.01):
        algorithm = DeepSqueeze(lr=lr, gamma=0.5, compressor=Identity())
        *_, state = states(algorithm, ring(8), problem, starts(problem), int(30 / lr))
        biases.append(np.abs(state.x.numpy() - problem.optimum).max())
    assert biases[1] > 1e-4
    assert 1.7 < biases[0] / biases[1] < 2.3
