"""Differences of gradients, compressed: DIANA, ADIANA, EF21 and MARINA; and compressed SGD, which needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from algorithms import (
    L1,
    QSGD,
    Adiana,
    CompressedSGD,
    Compressor,
    Diana,
    Ef21,
    Identity,
    Marina,
    MatrixNetwork,
    PermK,
    RandomK,
    TopK,
)
from algorithms.randomness import Draw, stream
from tests.algorithms.error_feedback.literal import (
    DECAY,
    STEPS,
    N,
    Operator,
    close,
    decay,
    drawn,
    models,
    momentum_sgd,
    pairs,
    problem_and_start,
    trained,
)
from tests.algorithms.helpers import LeastSquares, run, soft_threshold, starts
from topologies import ring

UNBIASED: dict[str, tuple[Compressor, Operator]] = {
    name: (compressor, drawn(compressor, "compression"))
    for name, compressor in {
        "identity": Identity(),
        "quantized": QSGD(levels=3),
        "random": RandomK(k=2, unbiased=True),
        "common": RandomK(k=2, unbiased=True, common=True),
        "permuted": PermK(nodes=N),
    }.items()
}
BIASED = pairs("compression")


@pytest.mark.parametrize(("compressor", "literal"), UNBIASED.values(), ids=UNBIASED)
def test_the_equations_of_compressed_sgd(compressor: Compressor, literal: Operator) -> None:
    problem, _, X = problem_and_start()
    v, wanted = np.zeros_like(X), [X]
    for t in range(STEPS):
        v = 0.6 * v + literal(problem.gradient(X), t).mean(axis=0)
        X = soft_threshold(X - decay(t) * v, decay(t) * 0.1)
        wanted.append(X)
    algorithm = CompressedSGD(lr=DECAY, compressor=compressor, momentum=0.6, prox=L1(0.1))
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("alpha", ["theory", 0.3])
@pytest.mark.parametrize(("compressor", "literal"), UNBIASED.values(), ids=UNBIASED)
def test_the_equations_of_diana(compressor: Compressor, literal: Operator, alpha: Any) -> None:
    problem, _, X = problem_and_start()
    a = 1 / (1 + compressor.omega(X.shape[1])) if alpha == "theory" else alpha
    h, wanted = np.zeros_like(X), [X]
    for t in range(STEPS):
        m = literal(problem.gradient(X) - h, t)
        X = soft_threshold(X - decay(t) * (h.mean(axis=0) + m.mean(axis=0)), decay(t) * 0.1)
        h = h + a * m
        wanted.append(X)
    found = trained(Diana(lr=DECAY, compressor=compressor, alpha=alpha, prox=L1(0.1)))
    close(found.models, np.stack(wanted))
    state: Any = found.state
    close(state.mean_shift.numpy(), np.tile(state.shift.numpy().mean(axis=0), (N, 1)))


@pytest.mark.parametrize("probability", ["theory", 0.3])
@pytest.mark.parametrize("name", UNBIASED)
def test_the_equations_of_adiana(name: str, probability: Any) -> None:
    """Where w moves, and at the start, a step computes the gradients there: the models stay for that long."""
    (compressor, at_point), (problem, _, X) = UNBIASED[name], problem_and_start()
    at_anchor, omega, eta, mu = drawn(compressor, "shifts"), compressor.omega(X.shape[1]), 0.03, 0.5
    theory = 1.0 if omega == 0 else min(1, max(1, np.sqrt(N / (32 * omega)) - 1) / (2 * (1 + omega)))
    p = theory if probability == "theory" else probability
    theta = min(1 / 4, np.sqrt(eta * mu / p))
    gamma = eta / (2 * (theta + eta * mu))
    beta = 1 - gamma * mu
    y, z, w, h, wanted = X, X, X, np.zeros_like(X), [X, X]
    for k in range(STEPS):
        x = theta * z + w / 2 + (1 / 2 - theta) * y
        m, c = at_point(problem.gradient(x) - h, k), at_anchor(problem.gradient(w) - h, k)
        y, before = soft_threshold(x - eta * (m.mean(axis=0) + h.mean(axis=0)), eta * 0.1), y
        z = beta * z + (1 - beta) * x + gamma / eta * (y - x)
        h = h + c / (1 + omega)
        moves = stream(Draw(0, "coin", range(N), k + 1).common).random() < p
        w = before if moves else w
        wanted += [y, y] if moves else [y]
    prox = L1(0.1)
    found = trained(Adiana(lr=eta, compressor=compressor, strong_convexity=mu, probability=probability, prox=prox))
    close(found.models, np.stack(wanted)[: STEPS + 1])
    state: Any = found.state
    close(state.mean_shift.numpy(), np.tile(state.shift.numpy().mean(axis=0), (N, 1)))


@pytest.mark.parametrize("dense_start", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize(("compressor", "literal"), BIASED.values(), ids=BIASED)
def test_the_equations_of_ef21(
    compressor: Compressor, literal: tuple[Operator], momentum: float, dense_start: bool
) -> None:
    problem, _, X = problem_and_start()
    v = problem.gradient(X)
    g, wanted = np.zeros_like(X), [X]
    for t in range(STEPS):
        v = momentum * v + (1 - momentum) * problem.gradient(X)
        g = v if t == 0 and dense_start else g + literal[0](v - g, t)
        X = X - decay(t) * g.mean(axis=0)
        wanted.append(X)
    algorithm = Ef21(lr=DECAY, compressor=compressor, momentum=momentum, dense_start=dense_start)
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("probability", ["theory", 0.3])
@pytest.mark.parametrize(("compressor", "literal"), UNBIASED.values(), ids=UNBIASED)
def test_the_equations_of_marina(compressor: Compressor, literal: Operator, probability: Any) -> None:
    problem, _, X = problem_and_start()
    p = 1 / (1 + compressor.omega(X.shape[1])) if probability == "theory" else probability
    g, before, wanted = np.zeros(X.shape[1]), X, [X]
    for t in range(STEPS):
        full = t == 0 or stream(Draw(0, "coin", range(N), t + 1).common).random() < p
        difference = problem.gradient(X) - problem.gradient(before)
        g = problem.gradient(X).mean(axis=0) if full else g + literal(difference, t).mean(axis=0)
        before, X = X, X - decay(t) * g
        wanted.append(X)
    close(models(Marina(lr=DECAY, compressor=compressor, probability=probability)), np.stack(wanted))


@pytest.mark.parametrize(
    "algorithm",
    [
        CompressedSGD(lr=DECAY, compressor=Identity()),
        Diana(lr=DECAY, compressor=Identity()),
        Ef21(lr=DECAY, compressor=Identity()),
        Marina(lr=DECAY, compressor=Identity()),
        Marina(lr=DECAY, compressor=RandomK(k=1, unbiased=True), probability=1.0),
    ],
    ids=["CompressedSGD", "Diana", "Ef21", "Marina", "Marina-full"],
)
def test_without_compression_they_are_sgd(algorithm: Any) -> None:
    close(models(algorithm), momentum_sgd(decay))


@pytest.mark.parametrize(
    "algorithm",
    [
        Diana(lr=0.05, compressor=RandomK(k=2, unbiased=True)),
        Adiana(lr=0.05, compressor=RandomK(k=2, unbiased=True), strong_convexity=0.5),
        Ef21(lr=0.05, compressor=TopK(k=1)),
        Marina(lr=0.05, compressor=RandomK(k=2, unbiased=True)),
    ],
    ids=["Diana", "Adiana", "Ef21", "Marina"],
)
def test_they_reach_the_optimum(algorithm: Any) -> None:
    problem, _, _ = problem_and_start()
    assert np.abs(trained(algorithm, steps=700).final - problem.optimum).max() < 1e-6


def test_the_noise_of_compressed_sgd_stays() -> None:
    problem, _, _ = problem_and_start()
    found = trained(CompressedSGD(lr=0.05, compressor=RandomK(k=2, unbiased=True)), steps=700)
    assert np.abs(found.final - problem.optimum).max() > 1e-2


def test_the_shifts_come_to_be_the_gradients_at_the_optimum() -> None:
    problem, _, _ = problem_and_start()
    state: Any = trained(Diana(lr=0.05, compressor=RandomK(k=2, unbiased=True)), steps=700).state
    wanted = problem.gradient(np.tile(problem.optimum, (N, 1)))
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(state.shift.numpy(), wanted, atol=1e-6)


def test_permutations_are_exact_for_equal_gradients() -> None:
    """PermK's operators of all nodes sum to the identity, so MARINA is gradient descent where all nodes are alike."""
    problem, _, _ = problem_and_start()
    alike = LeastSquares(np.tile(problem.A[:1], (N, 1, 1)), np.tile(problem.b[:1], (N, 1)))
    x = np.tile(starts(alike)[:1], (N, 1))
    found = run(Marina(lr=0.05, compressor=PermK(nodes=N), probability=0.01), ring(N), alike, x, STEPS).models
    for t in range(STEPS):
        close(found[t + 1], found[t] - 0.05 * alike.gradient(found[t]))


def test_acceleration_pays() -> None:
    """On a badly conditioned problem ADIANA needs fewer steps than DIANA, each with the paper's learning rate."""
    random = np.random.default_rng(0)
    scales = np.logspace(0, -1.5, 8)
    problem = LeastSquares(random.normal(size=(N, 40, 8)) * scales, random.normal(size=(N, 40)))
    eigenvalues = np.linalg.eigvalsh(problem.hessians.mean(axis=0))
    x = np.zeros((N, 8))
    compressor = RandomK(k=7, unbiased=True)
    omega, L, mu = compressor.omega(8), eigenvalues[-1], float(eigenvalues[0])
    p = min(1, max(1, np.sqrt(N / (32 * omega)) - 1) / (2 * (1 + omega)))
    lr = min(1 / (2 * L), N / (64 * omega * (2 * p * (omega + 1) + 1) ** 2 * L))
    accelerated = run(Adiana(lr=lr, compressor=compressor, strong_convexity=mu), ring(N), problem, x, 700)
    plain = run(Diana(lr=1 / (L * (1 + 6 * omega / N)), compressor=compressor), ring(N), problem, x, 700)
    errors = [np.linalg.norm(found.final[0] - problem.optimum) for found in (accelerated, plain)]
    assert errors[0] < errors[1] / 2, errors


def test_what_adiana_sends() -> None:
    """Two averages of one number in an iteration, and nothing in a step for the gradients where w has moved."""
    algorithm = Adiana(lr=0.03, compressor=RandomK(k=1, unbiased=True, common=True), probability=0.3)
    found = trained(algorithm, steps=20)
    coins = (stream(Draw(0, "coin", range(N), k + 1).common).random() < 0.3 for k in range(20))
    steps, iterations = 1, 0
    while steps < 20:
        steps, iterations = steps + 1 + next(coins), iterations + 1
    tree = MatrixNetwork(np.eye(N))
    tree.sum(found.state.x[:, :1])
    np.testing.assert_array_equal(found.bytes, tree.traffic.bytes.numpy() * (5 + 2 * iterations))


def test_what_marina_sends() -> None:
    """Averages: of d numbers now and then, of one number otherwise, along the tree of 5 nodes."""
    algorithm = Marina(lr=0.05, compressor=RandomK(k=1, unbiased=True, common=True), probability=0.3)
    found = trained(algorithm, steps=20)
    full = 1 + sum(stream(Draw(0, "coin", range(N), t + 1).common).random() < 0.3 for t in range(1, 20))
    tree = MatrixNetwork(np.eye(N))
    tree.sum(found.state.x[:, :1])
    numbers = 5 * (1 + full) + (20 - full)
    np.testing.assert_array_equal(found.bytes, tree.traffic.bytes.numpy() * numbers)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (Diana, {"alpha": 0.0}, "alpha"),
        (Diana, {"alpha": "auto"}, "alpha"),
        (Adiana, {"alpha": 1.1}, "alpha"),
        (Adiana, {"probability": 0.0}, "probability"),
        (Adiana, {"strong_convexity": 0.0}, "strong_convexity"),
        (Ef21, {"momentum": 1.0}, "momentum"),
        (Marina, {"probability": 0.0}, "probability"),
        (Marina, {"probability": 1.5}, "probability"),
        (CompressedSGD, {"lr": -1.0}, "lr"),
    ],
)
def test_what_is_out_of_range_is_refused(kind: Any, options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**options)


@pytest.mark.parametrize("kind", [Diana, Adiana, Marina])
def test_a_biased_operator_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="no unbiased operator"):
        models(kind(compressor=TopK(k=1)), steps=1)
