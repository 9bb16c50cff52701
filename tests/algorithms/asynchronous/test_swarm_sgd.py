"""SwarmSGD against a literal transcription, its lockstep form for two nodes, and what holds in any order of events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import QSGD, Minibatch, decentralized_periodic_averaging
from algorithms.asynchronous import SwarmSGD
from algorithms.asynchronous.swarm_sgd import SwarmNode
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import MESSAGE, Schedule
from gossip.workloads import LogisticRegression
from tests.algorithms.asynchronous.helpers import averaging, nothing, training
from tests.algorithms.helpers import Array, least_squares, run, starts
from tests.gossip.drivers.test_replay import gradients
from topologies import complete, erdos_renyi, ring


def transcription(schedule: Schedule, algorithm: SwarmSGD, lr: float) -> Array:
    """(events, n, d): all models after each event of the non-blocking variant, from who did what in which order alone.

    A message that was sent when a gradient had come asks; one that was sent when another had come answers.
    """
    problem = least_squares(schedule.n)
    X = starts(problem)
    S, V, points = X.copy(), np.zeros_like(X), X.copy()
    steps, asked, models = [0] * len(X), [False] * len(X), []
    told: dict[int, Array] = {}  # by the event in which it was sent
    mine: dict[int, Array] = {}  # what each node has told whom it asked
    sends = set(schedule.causes[schedule.kinds == MESSAGE].tolist())
    for number, event in enumerate(schedule):
        i = event.node
        if event.kind == "gradient":
            V[i] = algorithm.momentum * V[i] + problem.hessians[i] @ points[i] - problem.slopes[i]
            X[i] -= lr * V[i]
            steps[i] += 1
            if steps[i] == algorithm.local_steps:
                steps[i] = 0
                if not asked[i]:
                    assert number in sends
                    told[number] = mine[i] = S[i].copy()
                    asked[i] = True
                    S[i] = X[i]
            points[i] = X[i]
        elif event.kind == "message":
            if schedule[event.cause].kind == "gradient":
                told[number] = S[i].copy()
                half = (told[event.cause] - S[i]) / 2
            else:
                half = (told[event.cause] - mine[i]) / 2
                asked[i] = False
            X[i] += half
            S[i] += half
        models.append(X.copy())
    return np.stack(models)


@pytest.mark.parametrize(("local_steps", "momentum"), [(1, 0.0), (3, 0.7)])
def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule(
    local_steps: int, momentum: float
) -> None:
    algorithm = SwarmSGD(lr=0.05, local_steps=local_steps, momentum=momentum)
    found = training(algorithm, erdos_renyi(8, seed=1), steps=20)
    models = np.stack([found.models().numpy() for _ in found.events()])
    wanted = transcription(found.schedule, algorithm, 0.05)
    assert np.abs(models - wanted).max() <= 1e-12
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_two_blocking_nodes_are_decentralized_sgd_with_local_steps() -> None:
    problem = least_squares(2)
    options = {"momentum": 0.5}
    wanted = run(decentralized_periodic_averaging(0.05, 3, **options), complete(2), problem, starts(problem), 12)
    found = training(SwarmSGD(lr=0.05, local_steps=3, blocking=True, **options), complete(2))  # of different speeds
    found.advance(gradients=24)
    found.run(until=found.seconds + 5e-3)  # both letters of the last averaging
    assert np.abs(found.models().numpy() - wanted.final).max() <= 1e-12


def of(found: EventDriver) -> list[SwarmNode]:
    return [program for program in found.programs if isinstance(program, SwarmNode)]


def missing(found: EventDriver) -> float:
    """What nodes that have asked will have got when the answers that are under way have come."""
    answers = [letter for letter in found.under_way() if letter.label == "answer"]
    told = [of(found)[letter.to].pairing.told for letter in answers]
    return sum(float(letter.row - each) / 2 for letter, each in zip(answers, told, strict=True) if each is not None)


@pytest.mark.parametrize("blocking", [False, True])
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    geometric=st.booleans(),
    latency=st.sampled_from([0.0, 1e-3, 0.02]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
)
def test_the_sum_is_kept_at_any_time_nobody_waits_for_ever_and_all_agree(
    blocking: bool, seed: int, geometric: bool, latency: float, spread: float
) -> None:
    clock = SimulatedClock(0.01, latency, 1e4, spread, slow_nodes=(0,), slowdown=4.0)
    algorithm = SwarmSGD(blocking=blocking, geometric=geometric)
    found = averaging(algorithm, erdos_renyi(7, seed=seed % 5), clock, steps=10**6, seed=seed)
    for _, _ in zip(range(400), found.events(), strict=False):
        assert abs(float(found.models().sum()) + missing(found) - 21) < 1e-10
    found.advance(gradients=2000)
    assert found.gradients == 2000  # or else all had come to wait
    assert float(found.models().std()) < 0.2


def test_without_local_changes_both_variants_are_averagings() -> None:
    for blocking in (False, True):
        found = averaging(SwarmSGD(local_steps=1, blocking=blocking), complete(2), steps=2)
        found.run()
        assert found.models().flatten().tolist() == [0.5, 0.5]


def seconds(blocking: bool, slowdown: float) -> float:
    clock = SimulatedClock(0.01, 1e-4, 1e9, slow_nodes=(1,), slowdown=slowdown)
    found = averaging(SwarmSGD(blocking=blocking), complete(16), clock, steps=10**6)
    found.advance(gradients=800)
    return found.seconds


def test_a_slow_node_costs_its_own_gradients_and_others_only_where_they_block() -> None:
    alone = 16 / (15 + 1 / 10)  # sums of rates
    assert seconds(False, 10.0) / seconds(False, 1.0) == pytest.approx(alone, rel=0.03)
    assert seconds(True, 10.0) / seconds(True, 1.0) > 1.3 * alone


def test_what_travels_may_be_compressed_and_the_sum_is_kept() -> None:
    problem = least_squares(8, d=64)
    x = torch.from_numpy(starts(problem))
    for blocking in (False, True):
        algorithm = SwarmSGD(blocking=blocking, compressor=QSGD(levels=127))
        clock = SimulatedClock(0.01, 1e-3, 1e6, exponential_seconds=0.01)
        found = EventDriver(algorithm.programs(ring(8), range(8), x), ring(8), nothing, clock)
        found.advance(gradients=400)
        sums = found.models().sum(0) + sum(
            (letter.row - of(found)[letter.to].pairing.told).flatten() / 2  # type: ignore[operator]
            for letter in found.under_way()
            if letter.label == "answer"
        )
        torch.testing.assert_close(sums, x.sum(0), rtol=0, atol=1e-9)
        assert float(found.models().std(0).norm()) < 0.3 * float(x.std(0).norm())
        assert found.traffic.bytes.sum() / found.traffic.messages.sum() < 0.3 * 8 * 64


def test_a_blocking_run_is_replayed_to_the_same_bits() -> None:
    topology = ring(6)
    workload = LogisticRegression().shard(6, seed=0)
    x = workload.initial().expand(6, -1)
    algorithm = SwarmSGD(lr=0.3, blocking=True, geometric=True)
    clock = SimulatedClock(0.01, 2e-2, 1e6, 0.01, slow_nodes=(1,), slowdown=3.0)
    found = EventDriver(
        algorithm.programs(topology, range(6), x), topology, gradients(topology, Minibatch(8)), clock, seed=3
    )
    found.run(until=0.5)
    again = ReplayDriver(
        algorithm.programs(topology, range(6), x),
        topology,
        gradients(topology, Minibatch(8)),
        found.schedule,
        seed=3,
    )
    again.run()
    assert torch.equal(again.models(), found.models()) and found.models().norm() > 0.1


def test_hyper_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="SwarmSGD: local_steps = 0 is not allowed; it must be >= 1"):
        SwarmSGD(local_steps=0)
    with pytest.raises(ValueError, match="geometric = True is not allowed; it must be false where local_steps is 1"):
        SwarmSGD(local_steps=1, geometric=True)
