"""Clipped gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import SGD, AdamW, Clars, Clipped, DecentralizedSGD, Lars, Layout, ResidualSGD
from tests.algorithms.helpers import dense, least_squares, run, starts
from topologies import ring

N = 5


def test_long_gradients_are_shortened_and_others_are_not() -> None:
    problem = least_squares(N)
    X = starts(problem)
    lengths = np.linalg.norm(problem.gradient(X), axis=1)
    limit = float(np.median(lengths))
    models = run(DecentralizedSGD(lr=0.1, optimizer=Clipped(limit, SGD(0.9))), ring(N), problem, X, 50).models
    V = np.zeros_like(X)
    for t in range(50):
        G = problem.gradient(X)
        V = 0.9 * V + G * np.minimum(1, limit / np.linalg.norm(G, axis=1))[:, None]
        X = dense(ring(N)) @ (X - 0.1 * V)
        assert np.abs(models[t + 1] - X).max() <= 1e-12


def test_like_torch() -> None:
    problem = least_squares(1)
    X = starts(problem)
    got = run(DecentralizedSGD(lr=0.1, optimizer=Clipped(0.5, AdamW())), ring(1), problem, X, 30).final
    x = torch.tensor(X[0], requires_grad=True)
    optimizer = torch.optim.AdamW([x], lr=0.1)
    for _ in range(30):
        x.grad = torch.tensor(problem.gradient(x.detach().numpy()[None])[0])
        torch.nn.utils.clip_grad_norm_([x], 0.5)
        optimizer.step()
    assert np.abs(got - x.detach().numpy()).max() <= 1e-5  # torch adds 1e-6 to the norm


def test_zero_gradients_stay_zero() -> None:
    problem = least_squares(1)
    X = np.tile(problem.optimum, (1, 1))
    final = run(DecentralizedSGD(lr=0.1, optimizer=Clipped(1e-3)), ring(1), problem, X, 5).final
    assert np.abs(final - X).max() <= 1e-12


def test_it_is_what_the_other_rule_is() -> None:
    assert Clipped(1.0, Clars()).communicates and not Clipped(1.0, Lars()).communicates
    layout = Layout({"w": (2, 3)})
    assert Clipped(1.0, Lars()).for_layout(layout) == Clipped(1.0, Lars().for_layout(layout))
    problem = least_squares(N)
    free, bare = (
        run(DecentralizedSGD(lr=0.1, optimizer=each), ring(N), problem, starts(problem), 20).models
        for each in (Clipped(float("inf"), ResidualSGD(0.3)), ResidualSGD(0.3))
    )
    np.testing.assert_array_equal(free, bare)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="Clipped: limit = 0 "):
        Clipped(0)
