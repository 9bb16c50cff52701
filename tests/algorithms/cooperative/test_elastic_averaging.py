"""Elastic averaging against literal transcriptions, and its stable range in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms import ElasticAveraging, StepDecay
from tests.algorithms.helpers import Array, LeastSquares, least_squares, network_of, run, starts
from topologies import ring

STEPS = 100
DECAY = StepDecay(lr=0.05, milestones=(30, 61), factor=0.3)
ORDERS = ("simultaneous", "sequential")


def rate(k: int) -> float:
    return 0.05 if k < 30 else 0.015 if k < 61 else 0.0045


def transcription(
    problem: LeastSquares, x: Array, order: str, alpha: float, period: int, delta: float
) -> tuple[Array, Array]:
    """(the nodes' iterates; the anchors), with one loop over nodes after another."""
    m = problem.n
    z = x.mean(axis=0)
    v = np.zeros_like(x)
    iterates, anchors = [x], [z]
    for k in range(STEPS):
        v = delta * v - rate(k) * problem.gradient(x + delta * v)
        if order == "simultaneous" and k % period == 0:
            new = [x[i] + v[i] - alpha * (x[i] - z) for i in range(m)]
            z = z + sum(alpha * (x[i] - z) for i in range(m))
            x = np.stack(new)
        elif order == "sequential" and (k + 1) % period == 0:
            y = x + v
            x = np.stack([(1 - alpha) * y[i] + alpha * z for i in range(m)])
            z = (1 - m * alpha) * z + alpha * y.sum(axis=0)
        else:
            x = x + v
        iterates.append(x)
        anchors.append(z)
    return np.stack(iterates), np.stack(anchors)


def arrivals(anchors: Array, order: str, period: int) -> Array:
    """The anchors as they have arrived where they travel until the next communication."""
    arrived = [anchors[0]]
    for k in range(STEPS):
        communicates = k % period == 0 if order == "simultaneous" else (k + 1) % period == 0
        arrived.append(anchors[k] if communicates else arrived[-1])
    return np.stack(arrived)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [1, 8, 13])
@pytest.mark.parametrize(("period", "momentum"), [(1, 0.0), (3, 0.0), (1, 0.7), (4, 0.7)])
def test_against_the_equations(n: int, order: str, period: int, momentum: float, overlap: bool) -> None:
    problem = least_squares(n)
    x = starts(problem)
    for alpha in (None, 0.9 / n):
        algorithm = ElasticAveraging(DECAY, alpha, period, order, momentum, overlap, output="combined")
        ran = run(algorithm, ring(n), problem, x, STEPS)
        iterates, anchors = transcription(problem, x, order, alpha or 2 / (n + 2), period, momentum)
        averages = (iterates.sum(axis=1) + anchors) / (n + 1)
        assert np.abs(ran.models.mean(axis=1) - averages).max() <= 1e-10
        if not momentum:
            assert np.abs(ran.points - iterates).max() <= 1e-10
        local = run(replace(algorithm, output="local"), ring(n), problem, x, STEPS).models
        assert np.abs(local - iterates).max() <= 1e-10
        output = run(replace(algorithm, output="anchor"), ring(n), problem, x, STEPS).models
        arrived = arrivals(anchors, order, period) if overlap else anchors
        assert np.abs(output - arrived[:, None]).max() <= 1e-10


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_overlapped_is_blocking_to_the_last_bit(order: str, momentum: float) -> None:
    problem = least_squares(8)
    points = [
        run(ElasticAveraging(DECAY, None, 3, order, momentum, overlap), ring(8), problem, starts(problem), STEPS).points
        for overlap in (False, True)
    ]
    np.testing.assert_array_equal(*points)


def test_the_two_orders_differ() -> None:
    problem = least_squares(8)
    finals = [run(ElasticAveraging(0.05, order=o), ring(8), problem, starts(problem), 50).final for o in ORDERS]
    assert np.abs(finals[0] - finals[1]).max() > 1e-3


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("m", "lr"), [(8, 0.1), (4, 0.3), (13, 0.5), (1, 0.2)])
def test_the_stable_range(order: str, m: int, lr: float) -> None:
    """Along curvature 1, in exactly the range of the closed form; 2 / (m + 2) is within it."""
    c = 1 - lr
    edge = 2 * (1 + c) / (2 + m + c * m) if order == "simultaneous" else 2 * (1 + c) / (m + c * (m + 2))
    edge = min(edge, 2 / (m + 1))
    assert 2 / (m + 2) < edge
    problem = LeastSquares(np.ones((m, 1, 1)), np.zeros((m, 1)))
    for alpha in (0.97 * edge, 1.03 * edge):
        algorithm = ElasticAveraging(lr, alpha, order=order)
        if alpha >= 2 / (m + 1):
            with pytest.raises(ValueError, match=r"ElasticAveraging: alpha = .* below 2 / \(nodes \+ 1\)"):
                run(algorithm, ring(m), problem, np.ones((m, 1)), 1)
            continue
        size = np.abs(run(algorithm, ring(m), problem, np.ones((m, 1)), 1500).final).max()
        assert size < 1e-6 if alpha < edge else size > 1e6


def test_without_gradients_a_node_and_its_anchor_conserve_their_sum() -> None:
    network = network_of(ring(7))
    algorithm = ElasticAveraging(alpha=0.2, period=1, output="combined")
    problem = LeastSquares(np.zeros((7, 1, 3)), np.zeros((7, 1)))
    x = starts(problem)
    ran = run(algorithm, ring(7), problem, x, 100)
    np.testing.assert_allclose(ran.models.mean(axis=1), np.tile(x.mean(axis=0), (101, 1)), atol=1e-13)
    assert np.abs(ran.final - x.mean(axis=0)).max() < 1e-8
    assert network.n == 7


def test_a_round_is_one_average() -> None:
    problem = least_squares(8)
    for order, rounds in (("sequential", 3), ("simultaneous", 4)):
        ran = run(ElasticAveraging(0.01, period=3, order=order), ring(8), problem, starts(problem), 10)
        assert ran.rounds == rounds + 1  # the anchor's start is another
        assert ran.bytes.sum() == (rounds + 1) * 2 * 7 * 5 * 8


def test_single_precision() -> None:
    problem = least_squares(8)
    algorithm = ElasticAveraging(0.05, momentum=0.5, period=2)
    single = run(algorithm, ring(8), problem, starts(problem), 50, torch.float32)
    double = run(algorithm, ring(8), problem, starts(problem), 50)
    assert single.models.dtype == np.float32
    assert np.abs(single.final - double.final).max() < 1e-4


def test_refusals() -> None:
    for options, name in (
        ({"alpha": 0.0}, "alpha"),
        ({"period": 0}, "period"),
        ({"order": "both"}, "order"),
        ({"momentum": 1.0}, "momentum"),
        ({"output": "mean"}, "output"),
    ):
        with pytest.raises(ValueError, match=f"ElasticAveraging: {name} = .* is not allowed; it must be"):
            ElasticAveraging(**options)
