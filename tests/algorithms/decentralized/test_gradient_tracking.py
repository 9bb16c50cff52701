"""Gradient tracking in its two orders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import DecentralizedSGD, GradientTracking, LearningRate, Sample, StepDecay
from tests.algorithms.helpers import (
    ALL,
    RATES,
    assert_follows,
    common,
    distance,
    fixed,
    least_squares,
    network_of,
    run,
    starts,
)
from topologies import Schedule, complete, exponential, one_peer_exponential, ring

ORDERS = ("diging", "adapt-then-combine")
TOPOLOGIES = ["ring-16", "erdos_renyi-13", "exponential-16", "one_peer_exponential-13"]


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.5, True)])
@pytest.mark.parametrize("order", ORDERS)
def test_trajectory(order: str, momentum: float, nesterov: bool, lr: float | LearningRate, name: str) -> None:
    def equations(X, gradient, W, rate, steps):
        Y = G = gradient(X)
        V = np.zeros_like(X)
        models = [X]
        for k in range(steps):
            V = momentum * V + Y
            direction = Y + momentum * V if nesterov else V
            if order == "diging":
                X = W(k) @ X - rate(k) * direction
                Y = W(k + 1) @ Y + gradient(X) - G
            else:
                X = W(k) @ (X - rate(k) * direction)
                Y = W(k + 1) @ (Y + gradient(X) - G)
            G = gradient(X)
            models.append(X)
        return np.stack(models)

    algorithm = GradientTracking(lr=lr, order=order, momentum=momentum, nesterov=nesterov)
    assert_follows(algorithm, ALL[name], equations)


@pytest.mark.parametrize("topology", [ring(8), exponential(13), exponential(16), one_peer_exponential(8)], ids=str)
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("order", ORDERS)
def test_reaches_the_optimum(order: str, momentum: float, topology: Schedule) -> None:
    problem = least_squares(topology.n)
    lr = StepDecay(lr=0.05 * (1 - momentum), milestones=(300,), factor=0.6)
    algorithm = GradientTracking(lr=lr, order=order, momentum=momentum)
    assert distance(run(algorithm, topology, problem, starts(problem), 1200).final, problem.optimum) <= 1e-8


@pytest.mark.parametrize("topology", [ring(13), one_peer_exponential(13)], ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_the_average_tracker_is_the_average_of_the_gradients_that_came(order: str, topology: Schedule) -> None:
    random = np.random.default_rng(0)
    network = network_of(topology)
    algorithm = GradientTracking(lr=StepDecay(lr=0.1, milestones=(20,)), order=order, momentum=0.5)
    state = algorithm.start(torch.from_numpy(random.normal(size=(13, 4))), network)
    for _ in range(60):
        gradient = torch.from_numpy(random.normal(size=(13, 4)))  # as noisy as can be
        algorithm.advance(state, Sample(gradient, torch.zeros(13)), network)
        assert (state.tracker.mean(dim=0) - gradient.mean(dim=0)).abs().max() <= 1e-14


def test_on_a_complete_graph_adapt_then_combine_is_minibatch_sgd_and_diging_is_not() -> None:
    problem = least_squares(8)
    x = common(problem)
    wanted = run(DecentralizedSGD(lr=0.05, momentum=0.5), complete(8), problem, x, 50).models
    got = {
        order: run(GradientTracking(lr=0.05, momentum=0.5, order=order), complete(8), problem, x, 50).models
        for order in ORDERS
    }
    # The first step follows the local gradients, before any is averaged; mixing it afterwards makes no difference.
    assert np.abs(got["adapt-then-combine"] - wanted).max() <= 1e-12
    assert np.abs(got["diging"] - wanted).max() > 1e-3


@pytest.mark.parametrize("order", ORDERS)
def test_without_edges_the_nodes_run_sgd_on_their_own(order: str) -> None:
    problem = least_squares(4)
    options = {"lr": 0.05, "momentum": 0.5, "nesterov": True}
    got, wanted = (
        run(algorithm, fixed(np.eye(4)), problem, starts(problem), 50).models
        for algorithm in (GradientTracking(order=order, **options), DecentralizedSGD(**options))
    )
    assert np.abs(got - wanted).max() <= 1e-12


@pytest.mark.parametrize("order", ORDERS)
def test_sends_two_vectors_a_round_but_one_in_the_first(order: str) -> None:
    problem = least_squares(13, d=11)
    result = run(GradientTracking(order=order), ring(13), problem, starts(problem), 9)
    assert result.rounds == 9
    assert result.messages.tolist() == [2 * 17] * 13
    assert result.bytes.tolist() == [2 * 17 * 88] * 13


def test_what_diging_sends_may_travel_early() -> None:
    problem = least_squares(13)
    algorithm = GradientTracking(lr=0.05)
    network = network_of(one_peer_exponential(13))
    state = algorithm.start(torch.from_numpy(starts(problem)), network)
    for _ in range(30):
        algorithm.post(state, network)
        gradient = torch.from_numpy(problem.gradient(state.x.numpy()))
        algorithm.advance(state, Sample(gradient, torch.zeros(13)), network)
    wanted = run(algorithm, one_peer_exponential(13), problem, starts(problem), 30)
    np.testing.assert_array_equal(state.x.numpy(), wanted.final)
    assert network.round == wanted.rounds
    assert network.traffic.bytes.tolist() == wanted.bytes.tolist()


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^GradientTracking: order = 'atc' is not allowed; it must be one of diging"):
        GradientTracking(order="atc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^GradientTracking: momentum = 1 is not allowed"):
        GradientTracking(momentum=1)
    with pytest.raises(ValueError, match=r"^GradientTracking: nesterov = True is not allowed"):
        GradientTracking(nesterov=True)
