"""LEAD: its equations, what it is without compression, what stays invariant, where it ends up."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import ChocoSGD, Compressor, Contraction, Identity, InfinityNorm, Lead, RandomK, StepDecay
from tests.algorithms.compressed.literal import DECAY, LEAD, Operator, decay, lead, states
from tests.algorithms.helpers import UNDIRECTED, Array, dense, least_squares, run, starts
from topologies import Topology, ring

STEPS = 100


@pytest.mark.parametrize(("topology", "compressor", "compress", "gamma", "alpha", "steps"), LEAD.values(), ids=LEAD)
def test_the_equations_of_the_paper_with_a_decaying_rate(
    topology: Topology, compressor: Compressor, compress: Operator, gamma: float, alpha: float, steps: int
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    settings = {"gamma": gamma, "alpha": alpha}
    models = run(Lead(lr=DECAY, compressor=compressor, **settings), topology, problem, x, steps).models
    wanted = lead(x, problem.gradient, dense(topology), decay, steps, compress=compress, **settings)
    assert np.abs(models - wanted).max() <= 1e-10


def nids(x: Array, lr: float, gamma: float, topology: Topology, steps: int) -> Array:
    """NIDS on I - gamma / 2 (I - W): exact diffusion whose first step is not mixed."""
    problem, W = least_squares(topology.n), dense(topology)
    mixing = np.eye(topology.n) - gamma / 2 * (np.eye(topology.n) - W)
    models = [x, x - lr * problem.gradient(x)]
    for _ in range(1, steps):
        new, old = models[-1], models[-2]
        models.append(mixing @ (2 * new - old - lr * (problem.gradient(new) - problem.gradient(old))))
    return np.stack(models)


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 0.5), (1.0, 1.0), (0.6, 0.1), (1.3, 0.5)])
def test_without_compression_it_is_nids(gamma: float, alpha: float, topology: Topology) -> None:
    problem = least_squares(topology.n)
    algorithm = Lead(lr=0.05, gamma=gamma, alpha=alpha, compressor=Identity())
    models = run(algorithm, topology, problem, starts(problem), STEPS).models
    assert np.abs(models - nids(starts(problem), 0.05, gamma, topology, STEPS)).max() <= 1e-11


@pytest.mark.parametrize("topology", [ring(8), UNDIRECTED["erdos_renyi-13"]], ids=str)
def test_the_mean_of_the_dual_is_zero_and_mixed_copies_are_mixed(topology: Topology) -> None:
    problem, W = least_squares(topology.n), dense(topology)
    algorithm = Lead(lr=DECAY, gamma=0.5, compressor=RandomK(k=3, unbiased=True))
    for state in states(algorithm, topology, problem, starts(problem), STEPS):
        # Its rounding errors are those of the models over the learning rate, and add up.
        assert np.abs(state.dual.numpy().mean(axis=0)).max() <= 1e-10
        assert np.abs(state.replica.mixed.numpy() - W @ state.replica.public.numpy()).max() <= 1e-13
    assert state.dual.abs().max() > 0.1


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_without_compression_the_copies_do_not_matter(alpha: float) -> None:
    problem = least_squares(13)
    settings = {"lr": 0.05, "compressor": Identity()}
    got, wanted = (
        run(Lead(alpha=a, **settings), ring(13), problem, starts(problem), STEPS).models for a in (alpha, 0.5)
    )
    assert np.abs(got - wanted).max() <= 1e-12


def test_with_two_bits_it_reaches_the_optimum_where_choco_stalls() -> None:
    problem = least_squares(8, d=10, m=15)
    quantizer = InfinityNorm(bits=2, bucket=5)
    x = starts(problem)
    exact = run(Lead(lr=0.2, compressor=quantizer), ring(8), problem, x, 400).final
    assert np.abs(exact - problem.optimum).max() <= 1e-8
    choco = ChocoSGD(lr=0.2, gamma=0.3, compressor=Contraction(quantizer))
    stalled = run(choco, ring(8), problem, x, 150).models[-50:]
    assert np.abs(stalled - problem.optimum).max(axis=(1, 2)).min() > 1e-2


def test_a_rate_that_decays_does_not_disturb_what_has_converged() -> None:
    problem = least_squares(8)
    lr = StepDecay(lr=0.2, milestones=(350,), factor=0.1)
    algorithm = Lead(lr=lr, gamma=0.5, compressor=RandomK(k=3, unbiased=True))
    models = run(algorithm, ring(8), problem, starts(problem), 400).models
    assert np.abs(models[350:] - problem.optimum).max() <= 1e-9


def test_a_rate_that_ends_at_zero_leaves_the_averaging() -> None:
    problem = least_squares(8)
    lr = StepDecay(lr=0.2, milestones=(20, 21), factor=1e-300)
    assert lr(21) == 0
    models = run(Lead(lr=lr, compressor=Identity()), ring(8), problem, starts(problem), 200).models
    assert np.abs(models[-1] - models[-1].mean(axis=0)).max() <= 1e-9
    np.testing.assert_allclose(models[22:].mean(axis=1), models[22].mean(axis=0)[None].repeat(179, axis=0), atol=1e-12)


def test_gamma_beyond_the_bound_diverges_not_much_later() -> None:
    problem = least_squares(8)
    within, beyond = (  # no eigenvalue of I - gamma / 2 (I - W) below 0, and one below -1/3
        run(Lead(lr=0.01, gamma=gamma, compressor=Identity()), ring(8), problem, starts(problem), 500).final
        for gamma in (1.5, 2.1)
    )
    assert np.abs(within).max() < 10
    assert np.abs(beyond).max() > 1e6
