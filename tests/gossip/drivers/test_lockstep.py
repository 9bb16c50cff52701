"""The driver of algorithms whose nodes step together: it counts, hands gradients on, and lets others look."""

from __future__ import annotations

import time
from copy import deepcopy

import numpy as np
import pytest
import torch

from algorithms import ChocoSGD, DecentralizedSGD, LocalSGD, Minibatch, NonFiniteError, Saga, TopK
from algorithms.algorithm import Algorithm
from gossip.drivers.gradients import Gradients
from gossip.drivers.lockstep import Lockstep
from gossip.drivers.moment import Position
from gossip.network import connect
from gossip.processes.communicator import Communicator
from gossip.workloads import LeastSquares
from topologies import one_peer_exponential, ring

N, STEPS = 8, 9


def driver(algorithm: Algorithm) -> Lockstep:
    random = np.random.default_rng(4)
    workload = LeastSquares(random.normal(size=(N, 10, 3)), random.normal(size=(N, 10)))
    static = isinstance(algorithm, ChocoSGD)
    network = connect(ring(N) if static else one_peer_exponential(N), Communicator())
    algorithm = algorithm.for_layout(workload.layout)
    return Lockstep(algorithm, Gradients(Saga(2), workload, range(N), seed=1), network)


ALGORITHMS = [
    DecentralizedSGD(lr=0.05, order="consensus", momentum=0.9),
    ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=1), order="overlapped"),
    LocalSGD(lr=0.05, period=3),
]


def trained(lockstep: Lockstep, position: Position | None = None, looks: range = range(0)) -> tuple[torch.Tensor, int]:
    """The models after all steps, and the rounds that it took."""
    if position is None:
        position = lockstep.start(torch.zeros(N, 3, dtype=torch.float64))
    for moment in lockstep.moments(position, STEPS):
        if moment.step in looks:
            moment.look()
    return lockstep.algorithm.model(position.state), lockstep.network.round


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_moment_before_each_step_and_one_after_the_last(algorithm: Algorithm) -> None:
    lockstep = driver(algorithm)
    position = lockstep.start(torch.zeros(N, 3, dtype=torch.float64))
    assert (position.step, position.state.step) == (0, 0)
    seen = [(moment.step, moment.state.step) for moment in lockstep.moments(position, STEPS)]
    assert seen == [(step, step) for step in range(STEPS + 1)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_looking_changes_nothing(algorithm: Algorithm) -> None:
    unseen, seen = trained(driver(algorithm)), trained(driver(algorithm), looks=range(STEPS + 1))
    assert torch.equal(unseen[0], seen[0])
    assert unseen[1] == seen[1]


def test_the_step_takes_the_gradients_that_were_looked_at() -> None:
    lockstep = driver(DecentralizedSGD(lr=0.5))
    position = lockstep.start(torch.zeros(N, 3, dtype=torch.float64))
    moments = lockstep.moments(position, 1)
    moment = next(moments)
    look = moment.look()
    assert moment.look() is look  # taken once
    x, w = moment.state.x.clone(), torch.from_numpy(one_peer_exponential(N)[0].matrix.toarray())
    gradient = look.sample.gradient.clone()
    next(moments)
    assert torch.allclose(position.state.x, w @ (x - 0.5 * gradient))


@pytest.mark.parametrize("algorithm", [DecentralizedSGD(lr=0.05, momentum=0.9), LocalSGD(lr=0.05, period=3)])
def test_a_copy_of_a_position_goes_on_alike(algorithm: Algorithm) -> None:
    whole, _ = trained(driver(algorithm))
    lockstep, kept = driver(algorithm), None
    for moment in lockstep.moments(lockstep.start(torch.zeros(N, 3, dtype=torch.float64)), STEPS):
        if moment.step == 4:
            kept = Position(4, *deepcopy((moment.state, moment.oracle)), moment.seconds)
            break
    assert kept is not None
    again = driver(algorithm)
    again.network.round = lockstep.network.round
    assert torch.equal(trained(again, kept)[0], whole)


def test_the_time_of_those_who_look_does_not_count() -> None:
    lockstep = driver(DecentralizedSGD(lr=0.05))
    began, seconds = time.perf_counter(), []
    for moment in lockstep.moments(lockstep.start(torch.zeros(N, 3, dtype=torch.float64)), 3):
        seconds.append(moment.seconds)
        time.sleep(0.2)
        assert moment.look().seconds >= moment.seconds
    assert seconds == sorted(seconds)
    assert seconds[-1] <= time.perf_counter() - began - 4 * 0.2


def test_what_is_not_finite_ends_it() -> None:
    lockstep = driver(ChocoSGD(lr=1e200, gamma=0.3, compressor=TopK(k=1)))
    with pytest.raises(NonFiniteError):
        for _ in lockstep.moments(lockstep.start(torch.ones(N, 3, dtype=torch.float64)), 100):
            pass


def test_idle_nodes_take_no_gradients_unless_somebody_looks() -> None:
    lockstep = driver(LocalSGD(lr=0.05, period=3))
    lockstep = Lockstep(
        lockstep.algorithm,
        Gradients(Minibatch(2), lockstep.gradients.workload, range(N), seed=1),
        lockstep.network,
    )
    position = lockstep.start(torch.zeros(N, 3, dtype=torch.float64))
    for moment in lockstep.moments(position, STEPS):
        assert moment.oracle.gradients.tolist() == [2 * moment.step] * N
