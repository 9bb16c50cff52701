"""ECD-PSGD: its equations, and that it is D-PSGD without compression."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Compressor, DecentralizedSGD, EcdPSGD, Identity
from tests.algorithms.compressed.literal import DECAY, UNBIASED, Operator, decay
from tests.algorithms.helpers import STATIC, Array, dense, least_squares, run, starts
from tests.algorithms.reference import Gradient, Rate
from topologies import Topology, complete

STEPS = 100
CASES = [
    *((topology, *UNBIASED["identity"], STEPS) for topology in STATIC.values()),
    (STATIC["exponential-13"], *UNBIASED["random"], 40),  # the public copies' noise grows, so rounding errors do
    (complete(5), *UNBIASED["2 bits"], 40),
]


def ecd(X: Array, gradient: Gradient, W: Array, rate: Rate, steps: int, compress: Operator) -> Array:
    X_hat = X
    models = [X]
    for t in range(1, steps + 1):
        X_next = W @ X_hat - rate(t - 1) * gradient(X)
        Z = (1 - 0.5 * t) * X + 0.5 * t * X_next
        X_hat = (1 - 2 / t) * X_hat + 2 / t * compress(Z, t)
        X = X_next
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize(
    ("topology", "compressor", "compress", "steps"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_the_equations_of_the_paper(topology: Topology, compressor: Compressor, compress: Operator, steps: int) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    models = run(EcdPSGD(lr=DECAY, compressor=compressor), topology, problem, x, steps).models
    wanted = ecd(x, problem.gradient, dense(topology), decay, steps, compress)
    assert np.abs(models - wanted).max() <= 1e-10


@pytest.mark.parametrize("topology", STATIC.values(), ids=STATIC)
def test_without_compression_it_is_d_psgd(topology: Topology) -> None:
    problem = least_squares(topology.n)
    models, wanted = (
        run(algorithm, topology, problem, starts(problem), STEPS).models
        for algorithm in (EcdPSGD(lr=DECAY, compressor=Identity()), DecentralizedSGD(lr=DECAY, order="consensus"))
    )
    assert np.abs(models - wanted).max() <= 1e-11
