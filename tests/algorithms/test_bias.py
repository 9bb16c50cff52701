"""Where the methods end up on a deterministic heterogeneous problem: at the optimum, or how far from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, ExactDiffusion, TopK
from tests.algorithms.helpers import (
    UNDIRECTED,
    Array,
    LeastSquares,
    dense,
    least_squares,
    run,
    starts,
)
from topologies import Topology, exponential, ring, star, torus

H = 1.5  # the curvature that all nodes have in `same_curvature`


def distance(models: Array, problem: LeastSquares) -> float:
    return float(np.abs(models - problem.optimum).max())


def limit(algorithm: Algorithm, topology: Topology, problem: LeastSquares, steps: int = 3000) -> Array:
    """The model that the method has settled at."""
    models = run(algorithm, topology, problem, starts(problem), steps).models
    assert np.abs(models[-1] - models[-2]).max() <= 1e-12
    return models[-1]


@pytest.mark.parametrize(
    "topology", [*UNDIRECTED.values(), star(13), torus(12)], ids=[*UNDIRECTED, "star-13", "torus-12"]
)
def test_exact_diffusion_reaches_the_optimum(topology: Topology) -> None:
    problem = least_squares(topology.n)
    assert distance(run(ExactDiffusion(lr=0.1), topology, problem, starts(problem), 3000).final, problem) <= 1e-8


BIASED = [
    *(DecentralizedSGD(lr=0.04, order=o) for o in ("adapt-then-combine", "combine-then-adapt", "consensus")),
    DecentralizedSGD(lr=0.01, momentum=0.5),
    DecentralizedSGD(lr=0.01, momentum=0.5, nesterov=True),
    DecentralizedSGD(lr=0.01, period=3),
    ChocoSGD(lr=0.02, gamma=0.3, compressor=TopK(k=2)),
    ChocoSGD(lr=0.02, gamma=0.3, compressor=TopK(k=2), order="overlapped"),
]


@pytest.mark.parametrize("algorithm", BIASED, ids=str)
def test_the_bias_of_the_others_shrinks_with_the_learning_rate(algorithm: Algorithm) -> None:
    problem = least_squares(16)
    biases = []
    at_optimum = np.tile(problem.optimum, (16, 1))  # from there it is not far
    first, steps = (4, 400) if isinstance(algorithm, ChocoSGD) else (2, 1250)
    for division in (first, 2 * first):
        smaller = replace(algorithm, lr=algorithm.lr / division)
        final = run(smaller, UNDIRECTED["erdos_renyi-16"], problem, at_optimum, steps).final
        biases.append(distance(final, problem))
    assert biases[0] < 0.2
    assert biases[1] > 1e-4
    assert 1.7 < biases[0] / biases[1] < 2.3


def test_choco_keeps_a_bias_that_is_small() -> None:
    problem = least_squares(8)
    for order in ("icml", "overlapped"):
        algorithm = ChocoSGD(lr=0.01, gamma=0.3, compressor=TopK(fraction=0.4), order=order)
        models = run(algorithm, ring(8), problem, starts(problem), 800).models[-100:]
        assert 1e-4 < distance(models, problem) < 0.5


# Nodes that differ in their minimiser only: everything is known in closed form.


def same_curvature(n: int, d: int = 3) -> LeastSquares:
    """f_i(x) = H/2 |x - c_i|^2, in the guise of least squares."""
    A = np.tile(np.sqrt(d * H) * np.eye(d), (n, 1, 1))
    return LeastSquares(A, np.sqrt(d * H) * np.random.default_rng(5).normal(size=(n, d)))


def test_the_problem_is_what_it_says() -> None:
    problem = same_curvature(8)
    x = starts(problem)
    centres = problem.b / np.sqrt(3 * H)
    np.testing.assert_allclose(problem.gradient(x), H * (x - centres), rtol=1e-12)
    np.testing.assert_allclose(problem.optimum, centres.mean(axis=0), rtol=1e-12)


def modes(topology: Topology, problem: LeastSquares) -> tuple[Array, Array]:
    """Eigenvalues of W (n, 1), and the gradients at the optimum (n, d) in the basis of its eigenvectors."""
    values, vectors = np.linalg.eigh(dense(topology))
    return values[:, None], vectors.T @ problem.gradient(np.tile(problem.optimum, (problem.n, 1)))


@pytest.mark.parametrize("topology", [*UNDIRECTED.values(), star(13)], ids=[*UNDIRECTED, "star-13"])
@pytest.mark.parametrize("lr", [0.02, 0.2])
def test_the_limiting_bias_is_that_of_the_formula(lr: float, topology: Topology) -> None:
    problem = same_curvature(topology.n)
    lam, b = modes(topology, problem)
    wanted = {
        "adapt-then-combine": np.sum((lam * lr * b) ** 2 / (1 - lam * (1 - lr * H)) ** 2) / topology.n,
        "consensus": np.sum((lr * b) ** 2 / (1 - lam + lr * H) ** 2) / topology.n,
    }
    for order, value in wanted.items():
        error = limit(DecentralizedSGD(lr=lr, order=order), topology, problem, round(40 / lr)) - problem.optimum
        assert np.sum(error**2) / topology.n == pytest.approx(value, rel=1e-6)
        assert value > 1e-6


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_ends_where_the_larger_learning_rate_does(nesterov: bool) -> None:
    # At rest v = g / (1 - momentum), so the step is lr / (1 - momentum) g; Nesterov's too.
    problem = same_curvature(8)
    momentum = limit(DecentralizedSGD(lr=0.02, momentum=0.75, nesterov=nesterov), ring(8), problem)
    plain = limit(DecentralizedSGD(lr=0.08), ring(8), problem)
    assert np.abs(momentum - plain).max() <= 1e-9


def test_the_bias_grows_with_momentum() -> None:
    problem = same_curvature(8)
    at_optimum = np.tile(problem.optimum, (8, 1))
    squares = []
    for momentum in (0.0, 0.5, 0.8, 0.9):
        algorithm = DecentralizedSGD(lr=1e-4, momentum=momentum)
        squares.append(np.sum((run(algorithm, ring(8), problem, at_optimum, 1000).final - at_optimum) ** 2))
    # Like 1 / (1 - momentum)^2 where the learning rate is small.
    np.testing.assert_allclose(np.array(squares) / squares[0], [1, 4, 25, 100], rtol=0.02)


def test_without_heterogeneity_there_is_no_bias() -> None:
    problem = least_squares(8)
    shared = LeastSquares(problem.A, np.einsum("nmd,d->nm", problem.A, np.arange(5.0)))
    for algorithm in (
        DecentralizedSGD(lr=0.05, momentum=0.5),
        ChocoSGD(lr=0.1, gamma=0.3, compressor=TopK(k=2)),
        ExactDiffusion(lr=0.05),
    ):
        assert distance(limit(algorithm, ring(8), shared, 1500), shared) <= 1e-9


@pytest.mark.parametrize(("n", "stable"), [(8, True), (12, True), (16, False), (32, False)])
def test_exact_diffusion_asks_for_a_symmetric_matrix_for_a_reason(n: int, stable: bool) -> None:
    assert ExactDiffusion.needs == ("static", "symmetric")
    problem = same_curvature(n)
    final = run(ExactDiffusion(lr=0.01), exponential(n), problem, starts(problem), 2500).final
    assert distance(final, problem) < 1e-8 if stable else distance(final, problem) > 1e3
