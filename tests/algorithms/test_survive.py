"""States that algorithms go on with when nodes have been lost."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import (
    Algorithm,
    Constant,
    Cosine,
    DecentralizedSGD,
    ExactDiffusion,
    Extra,
    GradientTracking,
    Identity,
    Later,
    Lead,
    MatrixNetwork,
    Nids,
    PushDiging,
    PushSumAveraging,
    PushSumSGD,
    Sample,
    State,
    WarmUp,
)
from algorithms.state import map_tensors
from tests.algorithms.helpers import LeastSquares, least_squares, network_of, starts
from topologies import Schedule, heal, random_out, ring

N, SURVIVORS = 8, [0, 1, 3, 4, 6, 7]


def steps(algorithm: Algorithm, state: State, network: MatrixNetwork, problem: LeastSquares, count: int) -> State:
    for _ in range(count):
        gradient = torch.from_numpy(problem.gradient(state.x.numpy()))
        algorithm.advance(state, Sample(gradient, torch.zeros(problem.n)), network)
    return state


def of_survivors(value: Tensor) -> Tensor:
    """Their rows of what a state holds, as a rank that hosts them has them."""
    return value[SURVIVORS]


def after_a_loss(
    algorithm: Algorithm, topology: Schedule, problem: LeastSquares, before: int
) -> tuple[State, State, MatrixNetwork]:
    """The state of the survivors as it was, the one they go on with, and what links them."""
    network = network_of(topology)
    state = algorithm.start(torch.from_numpy(starts(problem)), network)
    network.finish_step()
    left = map_tensors(steps(algorithm, state, network, problem, before), of_survivors)
    healed = network_of(heal(topology, SURVIVORS))
    healed.round = network.round
    return deepcopy(left), algorithm.survive(left, healed), healed


@pytest.mark.parametrize(
    "algorithm",
    [
        ExactDiffusion(lr=0.1),
        Extra(lr=0.1),
        Nids(lr=0.1),
        GradientTracking(lr=0.1),
        PushDiging(lr=0.05),
        Lead(lr=0.1, compressor=Identity()),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_exact_methods_reach_the_optimum_of_the_survivors(algorithm: Algorithm) -> None:
    problem = least_squares(N)
    directed = isinstance(algorithm, PushDiging)
    topology = random_out(N, weights="push") if directed else ring(N)
    _, state, network = after_a_loss(algorithm, topology, problem, 30)
    left = problem.relabelled(np.array(SURVIVORS))
    steps(algorithm, state, network, left, 1000)
    assert np.abs(algorithm.model(state).numpy() - left.optimum).max() < 1e-6
    assert np.abs(left.optimum - problem.optimum).max() > 1e-2


def test_decentralized_sgd_keeps_its_momentum() -> None:
    before, state, _ = after_a_loss(DecentralizedSGD(lr=0.05, momentum=0.9), ring(N), least_squares(N), 7)
    assert state.step == 7
    assert torch.equal(state.memory.buffer, before.memory.buffer)
    assert torch.equal(state.x, before.x)


@pytest.mark.parametrize("overlap", [False, True])
def test_push_sum_keeps_the_mass_of_the_survivors_and_what_they_had_in_flight(overlap: bool) -> None:
    problem, topology = least_squares(N), random_out(N, weights="push")
    algorithm = PushSumSGD(lr=0.05, overlap=overlap)
    before, state, network = after_a_loss(algorithm, topology, problem, 9)
    held = [before.push_sum.numerator.sum(0), before.push_sum.weight.sum(0)]
    if overlap:  # what a node has sent and not kept
        own = np.diag(topology.matrix.toarray())[SURVIVORS, None]
        flying = [((1 - own) * each.numpy()).sum(0) for each in vars(before.in_flight.split).values()]
        held = [each + torch.from_numpy(more) for each, more in zip(held, flying, strict=True)]
        assert flying[1][0] > 1
    assert np.allclose(state.push_sum.numerator.sum(0), held[0], rtol=1e-12)
    assert np.allclose(state.push_sum.weight.sum(0), held[1], rtol=1e-12)
    assert float(state.push_sum.weight.sum()) < N

    flat = LeastSquares(np.zeros((len(SURVIVORS), 1, problem.d)), np.zeros((len(SURVIVORS), 1)))
    steps(algorithm, state, network, flat, 400)
    mean = (held[0] / held[1]).numpy()
    assert np.abs(state.x.numpy() - mean).max() < 1e-9


def test_push_sum_averaging_keeps_the_mass_of_the_survivors() -> None:
    before, state, network = after_a_loss(PushSumAveraging(), random_out(N, weights="push"), least_squares(N), 3)
    mean = before.push_sum.numerator.sum(0) / before.push_sum.weight.sum(0)
    flat = LeastSquares(np.zeros((len(SURVIVORS), 1, 5)), np.zeros((len(SURVIVORS), 1)))
    steps(PushSumAveraging(), state, network, flat, 200)
    assert np.abs((state.x - mean).numpy()).max() < 1e-9


def test_a_schedule_from_a_later_iteration_on() -> None:
    for schedule in (Cosine(lr=0.3, steps=50), WarmUp(steps=10, then=Constant(0.1))):
        assert [Later(schedule, 7)(t) for t in range(60)] == [schedule(t + 7) for t in range(60)]
    with pytest.raises(ValueError, match=r"Later: steps = -1 is not allowed; it must be >= 0"):
        Later(Constant(0.1), -1)
