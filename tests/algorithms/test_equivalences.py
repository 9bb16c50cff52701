"""Exact relations between methods, and to plain torch.optim.SGD, that need no transcription."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms import (
    D2,
    L1,
    Algorithm,
    ChocoSGD,
    Cosine,
    DecentLaM,
    DecentralizedAdamW,
    DecentralizedSGD,
    ExactDiffusion,
    Extra,
    GradientTracking,
    Identity,
    LearningRate,
    Nids,
    PgExtra,
    QuasiGlobalMomentum,
    TopK,
)
from tests.algorithms.helpers import (
    ALL,
    STATIC,
    UNDIRECTED,
    Array,
    common,
    dense,
    fixed,
    flat,
    least_squares,
    run,
    starts,
)
from topologies import Schedule, Topology, complete, erdos_renyi, hypercube, ring, star, torus

STEPS = 60
LR = 0.05
ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus")
MOMENTA = [(0.0, False), (0.8, False), (0.8, True)]
SCHEDULE = Cosine(lr=0.1, steps=50, end=0.01)


def torch_sgd(
    x: Array,
    gradient: Callable[[Array], Array],
    lr: float | LearningRate,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """(STEPS + 1, d): the iterates of torch.optim.SGD."""
    parameter = torch.nn.Parameter(torch.tensor(x))
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=momentum, nesterov=nesterov)
    models = [x]
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = lr(t) if isinstance(lr, LearningRate) else lr
        parameter.grad = torch.tensor(gradient(parameter.detach().numpy()))
        optimizer.step()
        models.append(parameter.detach().numpy().copy())
    return np.stack(models)


def assert_equal(got: Array, wanted: Array, tolerance: float = 1e-12) -> None:
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= tolerance


# One node.

SINGLE = [
    *(DecentralizedSGD(order=order, period=period) for order in ORDERS for period in (1, 3)),
    ExactDiffusion(),
    D2(),
    Extra(),
    Nids(gamma=0.7),
    *(GradientTracking(order=order) for order in ("diging", "adapt-then-combine")),
    *(ChocoSGD(gamma=0.3, order=o, compressor=c) for o in ("icml", "overlapped") for c in (Identity(), TopK(k=1))),
]


@pytest.mark.parametrize("lr", [LR, SCHEDULE], ids=["constant", "cosine"])
@pytest.mark.parametrize("algorithm", SINGLE, ids=str)
def test_one_node_is_plain_sgd(algorithm: Algorithm, lr: float | LearningRate) -> None:
    problem = least_squares(1)
    for momentum, nesterov in MOMENTA if hasattr(algorithm, "momentum") else MOMENTA[:1]:
        options = {"momentum": momentum, "nesterov": nesterov} if momentum else {}
        tuned = replace(algorithm, lr=lr, **options)
        models = run(tuned, ring(1), problem, starts(problem), STEPS).models
        wanted = torch_sgd(starts(problem)[0], lambda x: problem.gradient(x[None])[0], lr, momentum, nesterov)
        assert_equal(models[:, 0], wanted)


# W = J: the average of everything, everywhere.


def minibatch_sgd(n: int, momentum: float, nesterov: bool, lr: float | LearningRate = LR) -> Array:
    problem = least_squares(n)
    return torch_sgd(
        common(problem)[0],
        lambda x: problem.gradient(np.tile(x, (n, 1))).mean(axis=0),
        lr,
        momentum,
        nesterov,
    )


@pytest.mark.parametrize(("momentum", "nesterov"), MOMENTA)
@pytest.mark.parametrize("lr", [LR, SCHEDULE], ids=["constant", "cosine"])
@pytest.mark.parametrize("n", [16, 13])
def test_atc_on_a_complete_graph_is_minibatch_sgd_on_every_node(
    n: int, lr: float | LearningRate, momentum: float, nesterov: bool
) -> None:
    problem = least_squares(n)
    wanted = minibatch_sgd(n, momentum, nesterov, lr)[:, None].repeat(n, axis=1)
    for algorithm in (
        DecentralizedSGD(lr=lr, momentum=momentum, nesterov=nesterov),
        ChocoSGD(lr=lr, gamma=1.0, momentum=momentum, nesterov=nesterov),
    ):
        assert_equal(run(algorithm, complete(n), problem, common(problem), STEPS).models, wanted)


def test_on_a_complete_graph_the_mean_of_cta_is_minibatch_sgd_and_that_of_consensus_is_not() -> None:
    problem = least_squares(16)
    wanted = minibatch_sgd(16, 0.8, False)
    means = {
        order: run(
            DecentralizedSGD(lr=LR, order=order, momentum=0.8), complete(16), problem, common(problem), STEPS
        ).models.mean(axis=1)
        for order in ("combine-then-adapt", "consensus")
    }
    assert_equal(means["combine-then-adapt"], wanted)
    assert np.abs(means["consensus"] - wanted).max() > 1e-3


def test_exact_diffusion_on_a_complete_graph_is_not_minibatch_sgd() -> None:
    problem = least_squares(16)
    models = run(ExactDiffusion(lr=LR), complete(16), problem, common(problem), STEPS).models
    assert np.abs(models - minibatch_sgd(16, 0.0, False)[:, None]).max() > 1e-3


# W = I: no communication.


@pytest.mark.parametrize("algorithm", SINGLE, ids=str)
def test_without_edges_the_nodes_run_sgd_on_their_own(algorithm: Algorithm) -> None:
    problem = least_squares(4)
    models = run(replace(algorithm, lr=LR), fixed(np.eye(4)), problem, starts(problem), STEPS).models
    for i, x in enumerate(starts(problem)):
        alone = problem.relabelled(np.array([i]))
        assert_equal(models[:, i], torch_sgd(x, lambda x, alone=alone: alone.gradient(x[None])[0], LR))


# Orders.


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@pytest.mark.parametrize(("momentum", "nesterov"), MOMENTA)
def test_the_mixed_points_of_cta_obey_atc_from_the_mixed_start(
    momentum: float, nesterov: bool, topology: Schedule
) -> None:
    shifted = Schedule([topology[t + 1] for t in range(len(topology))])  # ATC's round t is CTA's round t + 1
    problem = least_squares(topology.n)
    x = starts(problem)
    options = {"lr": SCHEDULE, "momentum": momentum, "nesterov": nesterov}
    cta = run(DecentralizedSGD(order="combine-then-adapt", **options), topology, problem, x, STEPS)
    atc = run(DecentralizedSGD(**options), shifted, problem, dense(topology[0]) @ x, STEPS)
    assert_equal(cta.points, atc.models)
    assert np.abs(cta.models - atc.models).max() > 1e-2


def test_the_orders_differ() -> None:
    problem = least_squares(16)
    finals = [
        run(DecentralizedSGD(lr=LR, order=order), ring(16), problem, common(problem), STEPS).final for order in ORDERS
    ]
    for i in range(3):
        assert np.abs(finals[i] - finals[i - 1]).max() > 1e-2


@pytest.mark.parametrize("topology", STATIC.values(), ids=STATIC)
@pytest.mark.parametrize(("choco", "order"), [("icml", "adapt-then-combine"), ("overlapped", "consensus")])
@pytest.mark.parametrize(("momentum", "nesterov"), MOMENTA)
def test_choco_without_compression_is_decentralized_sgd(
    momentum: float, nesterov: bool, choco: str, order: str, topology: Topology
) -> None:
    problem = least_squares(topology.n)
    options = {"lr": SCHEDULE, "momentum": momentum, "nesterov": nesterov}
    got = run(ChocoSGD(gamma=1.0, order=choco, **options), topology, problem, common(problem), STEPS)
    wanted = run(DecentralizedSGD(order=order, **options), topology, problem, common(problem), STEPS)
    assert_equal(got.models, wanted.models)


@pytest.mark.parametrize("order", ["icml", "overlapped"])
def test_choco_that_keeps_everything_is_choco_without_compression(order: str) -> None:
    problem = least_squares(13)
    got, wanted = (
        run(ChocoSGD(lr=LR, gamma=0.3, compressor=c, order=order), ring(13), problem, starts(problem), STEPS).models
        for c in (TopK(fraction=1.0), Identity())
    )
    np.testing.assert_array_equal(got, wanted)


def test_the_orders_of_choco_differ_under_compression() -> None:
    problem = least_squares(16)
    methods = (ChocoSGD(lr=LR, gamma=0.3, compressor=TopK(k=2), order=order) for order in ("icml", "overlapped"))
    icml, overlapped = (run(method, ring(16), problem, common(problem), STEPS).final for method in methods)
    assert np.abs(icml - overlapped).max() > 1e-2


# Gossip alone: zero gradients.


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@pytest.mark.parametrize("order", ORDERS)
def test_without_gradients_the_models_are_powers_of_w(order: str, topology: Schedule) -> None:
    problem = flat(topology.n, 3)
    x = starts(problem)
    models = run(DecentralizedSGD(order=order, momentum=0.9), topology, problem, x, STEPS).models
    wanted = [x]
    for t in range(STEPS):
        wanted.append(dense(topology[t]) @ wanted[-1])
    assert_equal(models, np.stack(wanted))
    assert_equal(models.mean(axis=1), np.tile(x.mean(axis=0), (STEPS + 1, 1)))


def test_a_tiny_learning_rate_hardly_disturbs_the_gossip() -> None:
    problem = least_squares(13)
    x = starts(problem)
    for order in ORDERS:
        final = run(DecentralizedSGD(lr=1e-14, order=order), ring(13), problem, x, 20).final
        assert_equal(final, np.linalg.matrix_power(dense(ring(13)), 20) @ x, 1e-10)


@pytest.mark.parametrize(("n", "exact"), [(16, True), (13, False)])
def test_four_one_peer_rounds_average_exactly_for_a_power_of_two(n: int, exact: bool) -> None:
    problem = flat(n, 3)
    x = starts(problem)
    final = run(DecentralizedSGD(), ALL[f"one_peer_exponential-{n}"], problem, x, 4).final
    assert (np.abs(final - x.mean(axis=0)).max() <= 1e-14) == exact


@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
def test_without_gradients_exact_diffusion_keeps_the_mean_and_reaches_consensus(topology: Topology) -> None:
    problem = flat(topology.n, 3)
    x = starts(problem)
    models = run(ExactDiffusion(), topology, problem, x, 1500).models
    assert_equal(models.mean(axis=1), np.tile(x.mean(axis=0), (1501, 1)), 1e-11)
    assert_equal(models[-1], np.tile(x.mean(axis=0), (topology.n, 1)), 1e-6)


@pytest.mark.parametrize("topology", STATIC.values(), ids=STATIC)
@pytest.mark.parametrize("order", ["icml", "overlapped"])
def test_without_gradients_choco_keeps_the_mean_and_reaches_consensus(order: str, topology: Topology) -> None:
    problem = flat(topology.n, 5)
    x = starts(problem)
    algorithm = ChocoSGD(gamma=0.4, compressor=TopK(k=2), order=order)
    steps = 700 if topology.name.startswith("ring") else 300
    models = run(algorithm, topology, problem, x, steps).models
    mean = np.tile(x.mean(axis=0), (topology.n, 1))
    assert_equal(models.mean(axis=1), np.tile(mean[0], (steps + 1, 1)))
    assert np.abs(models[5] - mean).max() > 1e-2  # slow enough to see
    assert_equal(models[-1], mean, 1e-6)


# Symmetries of the whole thing.

METHODS = [
    *(DecentralizedSGD(lr=LR, order=order, momentum=0.5, period=2) for order in ORDERS),
    ExactDiffusion(lr=LR),
    ExactDiffusion(lr=LR, prox=L1(weight=0.1)),
    Extra(lr=LR),
    PgExtra(lr=LR, prox=L1(weight=0.1)),
    Nids(lr=LR, prox=L1(weight=0.1)),
    *(GradientTracking(lr=LR, order=order, momentum=0.3) for order in ("diging", "adapt-then-combine")),
    DecentLaM(lr=LR / 2),
    QuasiGlobalMomentum(lr=LR / 2),
    DecentralizedAdamW(lr=LR, epsilon=1e-3),
    *(ChocoSGD(lr=LR, gamma=0.2, order=o, compressor=TopK(k=2)) for o in ("icml", "overlapped")),
]


@pytest.mark.parametrize("topology", [ring(16), star(13), torus(12), hypercube(8), erdos_renyi(13)], ids=str)
@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_relabelling_the_nodes_relabels_the_models(algorithm: Algorithm, topology: Topology) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    order = np.random.default_rng(3).permutation(topology.n)
    relabelled = fixed(dense(topology)[np.ix_(order, order)])
    models = run(algorithm, topology, problem, x, STEPS).models
    others = run(algorithm, relabelled, problem.relabelled(order), x[order], STEPS).models
    assert_equal(others, models[:, order])
    assert np.abs(others - models).max() > 1e-2


@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_a_run_repeats_to_the_last_bit(algorithm: Algorithm) -> None:
    problem = least_squares(13)
    first, second = (run(algorithm, ring(13), problem, starts(problem), STEPS).models for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_single_precision_stays_single_and_close_to_double(algorithm: Algorithm) -> None:
    problem = least_squares(13)
    double = run(algorithm, ring(13), problem, starts(problem), STEPS)
    single = run(algorithm, ring(13), problem, starts(problem), STEPS, torch.float32)
    assert single.models.dtype == single.points.dtype == np.float32
    assert_equal(single.final, double.final, 1e-4)
