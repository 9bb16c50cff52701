"""BEER: its equations, that it is gradient tracking without compression, and that it reaches the optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Beer, Compressor, Identity, RandomK, TopK
from algorithms.blocks.replica import Replica
from tests.algorithms.compressed.literal import DECAY, Operator, decay, operator, states
from tests.algorithms.helpers import STATIC, Array, dense, least_squares, run, starts
from tests.algorithms.reference import Gradient, Rate, top_k
from topologies import Topology, ring

STEPS = 100


def top(k: int) -> Operator:
    return lambda Z, round: np.stack([top_k(z, k) for z in Z])


# (C, its gamma, C of the models and C of the trackers in the transcription)
OPERATORS: dict[str, tuple[Compressor, float, Operator, Operator]] = {
    "identity": (Identity(), 0.8, lambda Z, round: Z, lambda Z, round: Z),
    "top-2": (TopK(k=2), 0.2, top(2), top(2)),
    "random-3": (RandomK(k=3), 0.2, operator(RandomK(k=3)), operator(RandomK(k=3), "tracking")),
}


def beer(
    X: Array, gradient: Gradient, W: Array, rate: Rate, steps: int, gamma: float, models: Operator, trackers: Operator
) -> Array:
    """As in the paper: both messages of an iteration follow the new models. They go out in different rounds."""
    V = gradient(X)
    H = G = np.zeros_like(X)
    mixing = W - np.eye(len(X))
    iterates = [X]
    for t in range(steps):
        X_next = X + gamma * mixing @ H - rate(t) * V
        H = H + models(X_next - H, t)
        V = V + gamma * mixing @ G + gradient(X_next) - gradient(X)
        G = G + trackers(V - G, t + 1)
        X = X_next
        iterates.append(X)
    return np.stack(iterates)


@pytest.mark.parametrize(
    ("topology", "case"),
    [(name, "identity") for name in STATIC]
    + [(name, case) for name in ("ring-16", "exponential-13") for case in ("top-2", "random-3")],
)
def test_the_equations_of_the_paper(topology: str, case: str) -> None:
    compressor, gamma, models, trackers = OPERATORS[case]
    problem = least_squares(STATIC[topology].n)
    x = starts(problem)
    result = run(Beer(lr=DECAY, gamma=gamma, compressor=compressor), STATIC[topology], problem, x, STEPS).models
    wanted = beer(x, problem.gradient, dense(STATIC[topology]), decay, STEPS, gamma, models, trackers)
    assert np.abs(result - wanted).max() <= 1e-10


def gradient_tracking(X: Array, gradient: Gradient, M: Array, rate: Rate) -> Array:
    Y = gradient(X)
    models = [X]
    for t in range(STEPS):
        X_next = M @ X - rate(t) * Y
        Y = M @ Y + gradient(X_next) - gradient(X)
        X = X_next
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("topology", STATIC.values(), ids=STATIC)
def test_without_compression_and_with_exact_copies_at_the_start_it_is_gradient_tracking(
    topology: Topology, exact: bool
) -> None:
    problem, W, x = least_squares(topology.n), dense(topology), starts(least_squares(topology.n))
    algorithm = Beer(lr=DECAY, gamma=0.7, compressor=Identity())
    models = []
    for state in states(algorithm, topology, problem, x, STEPS):
        if state.step == 0 and exact:
            V = problem.gradient(x)
            state.models = Replica(torch.tensor(x), torch.tensor(W @ x))
            state.trackers = Replica(torch.tensor(V), torch.tensor(W @ V))
            state.tracker = torch.tensor(-0.7 * (W @ V - V))  # the first step must not mix yet
        models.append(state.x.numpy().copy())
    wanted = gradient_tracking(x, problem.gradient, np.eye(topology.n) + 0.7 * (W - np.eye(topology.n)), decay)
    assert (np.abs(np.stack(models) - wanted).max() <= 1e-10) == exact


@pytest.mark.parametrize("compressor", [TopK(k=2), RandomK(k=3)], ids=str)
def test_the_trackers_track_the_mean_gradient(compressor: Compressor) -> None:
    problem, W = least_squares(13), dense(ring(13))
    gradients = None
    for state in states(Beer(lr=DECAY, gamma=0.2, compressor=compressor), ring(13), problem, starts(problem), STEPS):
        if gradients is not None:
            assert np.abs(state.tracker.numpy().mean(axis=0) - gradients.mean(axis=0)).max() <= 1e-12
        for replica in (state.models, state.trackers):
            assert np.abs(replica.mixed.numpy() - W @ replica.public.numpy()).max() <= 1e-12
        gradients = problem.gradient(state.x.numpy())


def test_it_reaches_the_optimum() -> None:
    problem = least_squares(8)
    algorithm = Beer(lr=0.1, gamma=0.4, compressor=TopK(k=4))
    final = run(algorithm, ring(8), problem, starts(problem), 1000).final
    assert np.abs(final - problem.optimum).max() <= 1e-8
