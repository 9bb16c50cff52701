"""DCD-PSGD: its equations, and that it is D-PSGD without compression."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Compressor, DcdPSGD, DecentralizedSGD, Identity, RandomK
from tests.algorithms.compressed.literal import DECAY, UNBIASED, Operator, decay, states
from tests.algorithms.helpers import STATIC, Array, dense, least_squares, run, starts
from tests.algorithms.reference import Gradient, Rate
from topologies import Topology, complete, ring

STEPS = 100
CASES = [
    *((topology, *UNBIASED["identity"]) for topology in STATIC.values()),
    (STATIC["exponential-13"], *UNBIASED["random"]),
    (complete(5), *UNBIASED["2 bits"]),
]


def dcd(X: Array, gradient: Gradient, W: Array, rate: Rate, steps: int, compress: Operator) -> Array:
    n = len(X)
    replicas = np.tile(X, (n, 1, 1))  # [i, j]: what node i has of node j
    models = [X]
    for t in range(steps):
        Y = np.einsum("ij,ijd->id", W, replicas) - rate(t) * gradient(X)
        Q = compress(Y - X, t + 1)
        X, replicas = X + Q, replicas + Q
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize(("topology", "compressor", "compress"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_the_equations_of_the_paper(topology: Topology, compressor: Compressor, compress: Operator) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    models = run(DcdPSGD(lr=DECAY, compressor=compressor), topology, problem, x, STEPS).models
    assert np.abs(models - dcd(x, problem.gradient, dense(topology), decay, STEPS, compress)).max() <= 1e-10


@pytest.mark.parametrize("topology", STATIC.values(), ids=STATIC)
def test_without_compression_it_is_d_psgd(topology: Topology) -> None:
    problem = least_squares(topology.n)
    models, wanted = (
        run(algorithm, topology, problem, starts(problem), STEPS).models
        for algorithm in (DcdPSGD(lr=DECAY, compressor=Identity()), DecentralizedSGD(lr=DECAY, order="consensus"))
    )
    assert np.abs(models - wanted).max() <= 1e-12


def test_what_is_kept_of_the_neighbours_is_their_models() -> None:
    problem, W = least_squares(13), dense(ring(13))
    algorithm = DcdPSGD(lr=0.02, compressor=RandomK(k=4, unbiased=True))
    for state in states(algorithm, ring(13), problem, starts(problem), STEPS):
        assert np.abs(state.mixed.numpy() - W @ state.x.numpy()).max() <= 1e-12


def test_it_diverges_under_strong_compression() -> None:
    problem = least_squares(8)
    algorithm = DcdPSGD(lr=0.02, compressor=RandomK(k=1, unbiased=True))
    assert np.abs(run(algorithm, ring(8), problem, starts(problem), STEPS).final).max() > 1e6
