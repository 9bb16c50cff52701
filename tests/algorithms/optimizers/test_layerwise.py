"""LARS, CLARS and LAMB: literal transcriptions tensor by tensor, and the relations between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms import AdamW, Clars, DecentralizedSGD, Lamb, Lars, Layout, LocalOptimizer, Sample, StepDecay
from tests.algorithms.helpers import Array, dense, least_squares, network_of, run, starts
from topologies import complete, ring

STEPS = 100
N = 4
RATE = StepDecay(lr=0.5, milestones=(40, 41, 80), factor=0.3)
LAYOUT = Layout({"weight": (2, 3), "bias": (2,), "kernel": (1, 1, 4), "scale": (), "empty": (0, 3)})
D = LAYOUT.d
MATRICES = [slice(0, 6), slice(8, 12)]
TENSORS = [*MATRICES, slice(6, 8), slice(12, 13)]


def tensor_norm(w: Array) -> float:
    return math.sqrt(sum(float(entry) ** 2 for entry in w))


def quotient(above: float, below: float) -> float:
    return above / below if above > 0 and below > 0 else 1.0


def literal_lars(optimizer: Lars | Clars, X: Array, gradient: Callable[[Array], Array], W: Array) -> Array:
    V = np.zeros_like(X)
    models = [X]
    for t in range(STEPS):
        G = gradient(X)
        scale = np.ones_like(X)
        for i in range(len(X)):
            for place in TENSORS if optimizer.vectors else MATRICES:
                w = tensor_norm(X[i, place])
                if isinstance(optimizer, Clars):
                    mean = sum(tensor_norm(g[place]) for g in G) / len(G)
                    scale[i, place] = min(optimizer.limit, quotient(optimizer.trust * w, mean))
                else:
                    below = tensor_norm(G[i, place]) + optimizer.weight_decay * w
                    scale[i, place] = quotient(optimizer.trust * w, below)
        D = G + optimizer.weight_decay * X
        if optimizer.order == "scale-then-accumulate":
            V = optimizer.momentum * V + RATE(t) * scale * D
            X = W @ (X - V)
        else:
            V = optimizer.momentum * V + D
            X = W @ (X - RATE(t) * scale * V)
        models.append(X)
    return np.stack(models)


def literal_lamb(optimizer: Lamb, X: Array, gradient: Callable[[Array], Array], W: Array) -> Array:
    b1, b2 = optimizer.beta1, optimizer.beta2
    M, V = np.zeros_like(X), np.zeros_like(X)
    models = [X]
    for t in range(STEPS):
        G = gradient(X)
        M = b1 * M + (1 - b1) * G
        V = b2 * V + (1 - b2) * G**2
        R = (
            M / (1 - b1 ** (t + 1)) / (np.sqrt(V / (1 - b2 ** (t + 1))) + optimizer.epsilon)
            + optimizer.weight_decay * X
        )
        ratio = np.ones_like(X)
        for i in range(len(X)):
            for place in TENSORS if optimizer.vectors else MATRICES:
                ratio[i, place] = quotient(tensor_norm(X[i, place]), tensor_norm(R[i, place]))
        X = W @ (X - RATE(t) * ratio * R)
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize(
    "optimizer",
    [
        Lars(trust=0.02),
        Lars(trust=0.02, weight_decay=0.1, momentum=0.5),
        Lars(trust=0.02, weight_decay=0.1, order="accumulate-then-scale", vectors=True),
        Lars(trust=0.02, momentum=0.0, order="accumulate-then-scale"),
        Clars(trust=0.02),
        Clars(trust=0.02, weight_decay=0.1, order="scale-then-accumulate", vectors=True),
        Clars(trust=0.02, limit=0.01, momentum=0.0),
        Lamb(),
        Lamb(beta1=0.7, beta2=0.9, epsilon=1e-3, weight_decay=0.1, vectors=True),
    ],
    ids=str,
)
def test_literal_equations(optimizer: Lars | Clars | Lamb) -> None:
    problem = least_squares(N, D)
    X = starts(problem)
    X[0, MATRICES[0]] = 0  # a norm of 0
    literal = literal_lamb if isinstance(optimizer, Lamb) else literal_lars
    algorithm = DecentralizedSGD(lr=RATE, optimizer=optimizer).for_layout(LAYOUT)
    assert algorithm.optimizer != optimizer
    models = run(algorithm, ring(N), problem, X, STEPS).models
    assert np.abs(models - literal(optimizer, X, problem.gradient, dense(ring(N)))).max() <= 1e-10  # type: ignore[arg-type]


def moves(optimizer: LocalOptimizer, x: Array, *gradients: Array, lr: float = 0.1) -> Array:
    """(k, d): the last of some updates at the same point."""
    network = network_of(complete(len(x)))
    optimizer, parameters = optimizer.for_layout(LAYOUT), torch.tensor(x)
    memory = optimizer.start(parameters)
    for gradient in map(torch.tensor, gradients):
        optimizer.observe(parameters, memory, Sample(gradient, gradient[:, 0]), network)
        c, y = optimizer.update(parameters, memory, gradient, lr)
    return c * y.numpy()


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("order", ["scale-then-accumulate", "accumulate-then-scale"])
def test_clars_is_lars_where_all_gradients_are_equal(order: str) -> None:
    x = random(N, D)
    gradients = [np.tile(random(1, D, seed=s), (N, 1)) for s in (1, 2, 3)]
    got = moves(Clars(trust=0.01, order=order), x, *gradients)  # type: ignore[arg-type]
    wanted = moves(Lars(trust=0.01, order=order), x, *gradients)  # type: ignore[arg-type]
    np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_clars_is_shorter_than_lars_by_the_norm_of_the_mean_over_the_mean_of_the_norms() -> None:
    x = np.tile(random(1, D), (N, 1))
    gradients = random(N, D, seed=1)
    mean = np.tile(gradients.mean(axis=0), (N, 1))
    clars = moves(Clars(trust=0.01, momentum=0), x, gradients).mean(axis=0)
    lars = moves(Lars(trust=0.01, momentum=0), x, mean).mean(axis=0)
    for place in MATRICES:
        ratio = tensor_norm(mean[0, place]) / np.mean([tensor_norm(g[place]) for g in gradients])
        assert 0 < ratio < 1
        np.testing.assert_allclose(clars[place], ratio * lars[place], rtol=1e-12)


def test_opposite_gradients_cancel_in_clars() -> None:
    x = np.tile(random(1, D), (2, 1))
    g = random(1, D, seed=1)
    each = moves(Clars(), x, np.concatenate([g, -g]))
    assert np.abs(each).max() > 1e-4
    assert np.array_equal(each.mean(axis=0), np.zeros(D))


@pytest.mark.parametrize("optimizer", [Lars(), Clars(), replace(Lars(), order="accumulate-then-scale")], ids=str)
def test_the_scale_of_the_loss_does_not_matter(optimizer: LocalOptimizer) -> None:
    x, gradients = random(N, D), [random(N, D, seed=s) for s in (1, 2, 3)]
    plain = moves(optimizer, x, *gradients)
    larger = moves(optimizer, x, *(1024 * g for g in gradients))
    for place in MATRICES:
        np.testing.assert_allclose(larger[:, place], plain[:, place], rtol=1e-13)
    np.testing.assert_allclose(larger[:, 6:8], 1024 * plain[:, 6:8], rtol=1e-13)  # a bias has the common step size


def test_lamb_with_parameters_as_long_as_the_step_is_adamw() -> None:
    x, g = random(N, D), random(N, D, seed=1)
    step = moves(AdamW(epsilon=1e-6, weight_decay=0), x, g, lr=1.0)
    x = step * np.array([[-1], [1], [1], [1]])  # of the same norms
    lamb = moves(Lamb(weight_decay=0), x, g)
    np.testing.assert_allclose(lamb, moves(AdamW(epsilon=1e-6, weight_decay=0), x, g), rtol=1e-13)
    ratio = moves(Lamb(weight_decay=0), 3 * x, g) / lamb
    np.testing.assert_allclose(ratio[:, MATRICES[1]], 3, rtol=1e-13)
    np.testing.assert_allclose(ratio[:, 6:8], 1, rtol=1e-13)


def test_what_is_scaled() -> None:
    lars = Lars()
    assert lars.places(7) == [slice(0, 7)]
    assert lars.for_layout(Layout.vector(7)).places(7) == [slice(0, 7)]  # nothing but a vector
    assert lars.for_layout(LAYOUT).places(D) == MATRICES
    assert replace(lars, vectors=True).for_layout(LAYOUT).places(D) == sorted(TENSORS, key=lambda each: each.start)
    with pytest.raises(ValueError, match="the tensors hold 13 numbers, the vector has 7"):
        lars.for_layout(LAYOUT).places(7)


def test_the_norms_of_clars_travel() -> None:
    problem = least_squares(N, D)

    def sent(optimizer: LocalOptimizer) -> int:
        algorithm = DecentralizedSGD(optimizer=optimizer).for_layout(LAYOUT)
        result = run(algorithm, ring(N), problem, starts(problem), 10)
        assert result.rounds == 10
        return int(result.bytes.sum())

    # A sum over n nodes takes n - 1 messages up its tree and n - 1 down, of L = 2 doubles.
    assert sent(Clars()) - sent(Lars()) == 10 * 2 * (N - 1) * 2 * 8
    assert Clars().communicates and not Lars().communicates


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (lambda: Lars(trust=0), "Lars: trust = 0 "),
        (lambda: Lars(momentum=1), "Lars: momentum = 1 "),
        (lambda: Lars(weight_decay=-1), "Lars: weight_decay = -1 "),
        (lambda: Lars(order="both"), "Lars: order = 'both' "),  # type: ignore[arg-type]
        (lambda: Clars(limit=0), "Clars: limit = 0 "),
        (lambda: Clars(order=""), "Clars: order = '' "),  # type: ignore[arg-type]
        (lambda: Lamb(beta1=0.9, beta2=1.0), "Lamb: beta2 = 1.0 "),
        (lambda: Lamb(epsilon=0), "Lamb: epsilon = 0 "),
    ],
)
def test_refusals(optimizer: Callable[[], LocalOptimizer], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        optimizer()
