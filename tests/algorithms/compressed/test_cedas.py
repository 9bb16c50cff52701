"""CEDAS: LEAD with a dual that is not multiplied by the learning rate."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Cedas, Compressor, Identity, InfinityNorm, Lead, StepDecay
from tests.algorithms.compressed.literal import DECAY, LEAD, Operator, decay, states
from tests.algorithms.helpers import UNDIRECTED, Array, dense, least_squares, run, starts
from tests.algorithms.reference import Gradient, Rate
from topologies import Topology, ring

STEPS = 100


def cedas(
    X: Array, gradient: Gradient, W: Array, rate: Rate, steps: int, gamma: float, alpha: float, compress: Operator
) -> Array:
    D = H = H_w = np.zeros_like(X)
    models = [X, X - rate(0) * gradient(X)]
    for k in range(1, steps):
        X = models[-1]
        Z = X - rate(k) * gradient(X)
        Q = compress(Z - D - H, k - 1)
        Y_hat, Y_hat_w = H + Q, H_w + W @ Q
        H, H_w = (1 - alpha) * H + alpha * Y_hat, (1 - alpha) * H_w + alpha * Y_hat_w
        D = D + gamma / 2 * (Y_hat - Y_hat_w)
        models.append(Z - D)
    return np.stack(models)


@pytest.mark.parametrize(("topology", "compressor", "compress", "gamma", "alpha", "steps"), LEAD.values(), ids=LEAD)
def test_the_equations_with_a_decaying_rate(
    topology: Topology, compressor: Compressor, compress: Operator, gamma: float, alpha: float, steps: int
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    settings = {"gamma": gamma, "alpha": alpha}
    models = run(Cedas(lr=DECAY, compressor=compressor, **settings), topology, problem, x, steps).models
    wanted = cedas(x, problem.gradient, dense(topology), decay, steps, compress=compress, **settings)
    assert np.abs(models - wanted).max() <= 1e-10


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
def test_without_compression_it_is_exact_diffusion_with_a_decaying_rate_and_lead_is_not(topology: Topology) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    W_bar = (np.eye(topology.n) + dense(topology)) / 2
    wanted = [x, x - decay(0) * problem.gradient(x)]
    for k in range(1, STEPS):
        new, old = wanted[-1], wanted[-2]
        moves = decay(k) * problem.gradient(new) - decay(k - 1) * problem.gradient(old)
        wanted.append(W_bar @ (2 * new - old - moves))
    for kind, equal in ((Cedas, True), (Lead, False)):
        models = run(kind(lr=DECAY, compressor=Identity()), topology, problem, x, STEPS).models
        assert (np.abs(models - np.stack(wanted)).max() <= 1e-11) == equal
        assert np.abs(models[:31] - np.stack(wanted)[:31]).max() <= 1e-11  # where the rate has not changed yet


def test_with_a_constant_rate_it_is_lead() -> None:
    problem = least_squares(13)
    settings = {"lr": 0.05, "gamma": 0.8, "alpha": 0.3, "compressor": InfinityNorm(bits=2, bucket=3)}
    models, wanted = (run(kind(**settings), ring(13), problem, starts(problem), 35).models for kind in (Cedas, Lead))
    assert np.abs(models - wanted).max() <= 1e-11


def test_the_mean_of_the_dual_is_zero() -> None:
    problem = least_squares(13)
    for state in states(Cedas(lr=DECAY, compressor=Identity()), ring(13), problem, starts(problem), STEPS):
        assert np.abs(state.dual.numpy().mean(axis=0)).max() <= 1e-13


def test_it_finds_back_to_the_optimum_after_a_decay() -> None:
    problem = least_squares(8)
    lr = StepDecay(lr=0.2, milestones=(400,), factor=0.5)
    algorithm = Cedas(lr=lr, compressor=Identity())
    errors = np.abs(run(algorithm, ring(8), problem, starts(problem), 1400).models - problem.optimum).max(axis=(1, 2))
    assert errors[400] <= 1e-9
    assert errors[401] > 1e-2
    assert errors[-1] <= 1e-9
