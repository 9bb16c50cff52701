"""Prox-LEAD: its equations, what it is without compression or regularizer, and that it reaches composite optima."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gossip
from algorithms import L1, Compressor, Identity, InfinityNorm, Lead, LooplessSvrg, Oracle, ProxLead, Saga
from tests.algorithms.compressed.literal import DECAY, LEAD, Operator, decay, lead, soft_threshold
from tests.algorithms.helpers import UNDIRECTED, Array, dense, distance, least_squares, run, starts
from topologies import Topology, ring

STEPS = 100
WEIGHT = 0.3


@pytest.mark.parametrize(("topology", "compressor", "compress", "gamma", "alpha", "steps"), LEAD.values(), ids=LEAD)
def test_the_equations_with_a_decaying_rate(
    topology: Topology, compressor: Compressor, compress: Operator, gamma: float, alpha: float, steps: int
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    settings = {"gamma": gamma, "alpha": alpha}
    algorithm = ProxLead(lr=DECAY, compressor=compressor, prox=L1(WEIGHT), **settings)
    models = run(algorithm, topology, problem, x, steps).models
    prox = soft_threshold(WEIGHT)
    wanted = lead(x, problem.gradient, dense(topology), decay, steps, compress=compress, prox=prox, **settings)
    assert np.abs(models - wanted).max() <= 1e-10
    assert (models[1:] == 0).any()


def test_without_a_regularizer_it_is_lead() -> None:
    problem = least_squares(13)
    settings = {"lr": DECAY, "compressor": InfinityNorm(bits=2, bucket=3)}
    models, wanted = (
        run(algorithm, ring(13), problem, starts(problem), 40).models
        for algorithm in (ProxLead(prox=L1(0.0), **settings), Lead(**settings))
    )
    np.testing.assert_array_equal(models, wanted)


def prox_exact_diffusion(x: Array, lr: float, topology: Topology) -> Array:
    """Z+ = W' (Z + X - X_old - lr (G - G_old)), X = prox(Z): the PUDA form."""
    problem, W_bar = least_squares(topology.n), (np.eye(topology.n) + dense(topology)) / 2
    prox = soft_threshold(WEIGHT)
    models, Z = [x], x - lr * problem.gradient(x)
    for _ in range(STEPS):
        models.append(prox(Z, lr))
        moves = lr * (problem.gradient(models[-1]) - problem.gradient(models[-2]))
        Z = W_bar @ (Z + models[-1] - models[-2] - moves)
    return np.stack(models)


def prox_nids(x: Array, lr: float, topology: Topology) -> Array:
    """Z+ = Z - X + W' (2 X - X_old - lr (G - G_old)), X = prox(Z)."""
    problem, W_bar = least_squares(topology.n), (np.eye(topology.n) + dense(topology)) / 2
    prox = soft_threshold(WEIGHT)
    models, Z = [x], x - lr * problem.gradient(x)
    for _ in range(STEPS):
        models.append(prox(Z, lr))
        moves = lr * (problem.gradient(models[-1]) - problem.gradient(models[-2]))
        Z = Z - models[-1] + W_bar @ (2 * models[-1] - models[-2] - moves)
    return np.stack(models)


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
def test_without_compression_it_is_proximal_exact_diffusion_and_not_proximal_nids(topology: Topology) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    algorithm = ProxLead(lr=0.1, gamma=1.0, compressor=Identity(), prox=L1(WEIGHT))
    models = run(algorithm, topology, problem, x, STEPS).models
    assert np.abs(models - prox_exact_diffusion(x, 0.1, topology)).max() <= 1e-11
    assert np.abs(models - prox_nids(x, 0.1, topology)).max() > 1e-2


@pytest.mark.parametrize("compressor", [Identity(), InfinityNorm(bits=2, bucket=5)], ids=str)
def test_it_reaches_the_composite_optimum(compressor: Compressor) -> None:
    problem = least_squares(8, d=10, m=15)
    optimum = problem.composite_optimum(0.3)
    assert 0 < np.count_nonzero(optimum) < 10
    final = run(ProxLead(lr=0.2, compressor=compressor, prox=L1(0.3)), ring(8), problem, starts(problem), 300).final
    assert np.abs(final - optimum).max() <= 1e-8
    np.testing.assert_array_equal(final != 0, (optimum != 0)[None].repeat(8, axis=0))


@pytest.mark.parametrize("oracle", [LooplessSvrg(batch=8), Saga(batch=8)], ids=str)
def test_with_reduced_variance_two_bits_reach_the_composite_optimum(oracle: Oracle) -> None:
    problem = least_squares(8, d=6, m=15)
    workload = gossip.workloads.LeastSquares(problem.A, problem.b, l1=0.2)
    algorithm = ProxLead(lr=0.12, compressor=InfinityNorm(bits=2, bucket=3), prox=L1(0.2))
    result = gossip.run(
        workload,
        ring(8),
        algorithm,
        oracle=oracle,
        steps=220,
        start=torch.from_numpy(starts(problem)),
        evaluate_every=220,
        output=None,
    )
    assert distance(result.model.numpy(), workload.optimum.numpy()) <= 1e-8


def test_the_default_quantizes_in_the_blocks_of_each_paper() -> None:
    assert ProxLead().compressor == InfinityNorm(bits=2, bucket=256)
    assert Lead().compressor == InfinityNorm(bits=2, bucket=512)
