"""Overlap push-sum against a literal transcription, its lockstep forms, and what holds in any order of events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import PushSumSGD
from algorithms.asynchronous import OverlapPushSum
from algorithms.asynchronous.overlap_push_sum import OverlapPushSumNode
from gossip import SimulatedClock
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK, averaging, training
from tests.algorithms.helpers import Array, least_squares, run, starts
from topologies import Topology, exponential, random_out, ring


def transcription(schedule: Schedule, topology: Topology, algorithm: OverlapPushSum, lr: float) -> Array:
    """(events, n, d): n_i / w_i after each event, from who did what in which order alone."""
    n, problem = schedule.n, least_squares(schedule.n)
    P = topology.matrix.toarray()
    N, w, V = starts(problem), np.ones(n), np.zeros((n, problem.d))
    points, models = N.copy(), []
    iterations, waits = np.zeros(n, int), np.zeros(n, bool)
    pushed: dict[tuple[int, int], list[tuple[Array, float]]] = {}  # from whom to whom, of each iteration
    came, used = np.zeros((n, n), int), np.zeros((n, n), int)  # of how many iterations, to whom and from whom
    for event in schedule:
        i, j = event.node, event.sender
        if event.kind == "gradient":
            V[i] = algorithm.momentum * V[i] + problem.hessians[i] @ points[i] - problem.slopes[i]
            h = N[i] - lr * V[i]
            for k in range(n):
                pushed.setdefault((i, k), []).append((P[k, i] * h, P[k, i] * w[i]))
            N[i], w[i] = P[i, i] * h, P[i, i] * w[i]
            iterations[i] += 1
            waits[i] = True
        elif event.kind == "message":
            came[i, j] += 1
        senders = [k for k in range(n) if k != i and P[i, k]]
        if waits[i] and all(came[i, k] >= iterations[i] - algorithm.staleness for k in senders):
            for k in senders:
                for m in range(used[i, k], min(came[i, k], iterations[i])):
                    N[i], w[i] = N[i] + pushed[k, i][m][0], w[i] + pushed[k, i][m][1]
                used[i, k] = min(came[i, k], iterations[i])
            waits[i], points[i] = False, N[i] / w[i]
        models.append(N / w[:, None])
    return np.stack(models)


@pytest.mark.parametrize(("staleness", "momentum"), [(0, 0.0), (2, 0.7)])
def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule(
    staleness: int, momentum: float
) -> None:
    topology = exponential(8)
    algorithm = OverlapPushSum(lr=0.05, staleness=staleness, momentum=momentum)
    found = training(algorithm, topology, steps=15)
    models = np.stack([found.models().numpy() for _ in found.events()])
    wanted = transcription(found.schedule, topology, algorithm, 0.05)
    assert np.abs(models - wanted).max() <= 1e-11
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


@pytest.mark.parametrize("overlap", [False, True])
def test_without_staleness_it_is_push_sum_sgd_and_with_one_step_its_overlap(overlap: bool) -> None:
    topology, problem = exponential(8), least_squares(8)
    wanted = run(PushSumSGD(lr=0.05, momentum=0.5, overlap=overlap), topology, problem, starts(problem), 20)
    algorithm = OverlapPushSum(lr=0.05, momentum=0.5, staleness=int(overlap))
    # With overlap, each message comes during the next gradient; without, nodes may have any speed.
    clock = SimulatedClock(0.01, 4e-3, 1e6) if overlap else CLOCK
    found = training(algorithm, topology, steps=20, clock=clock)
    found.run()
    assert np.abs(found.models().numpy() - wanted.final).max() <= 1e-12


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    staleness=st.integers(0, 3),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
)
def test_mass_is_kept_nobody_waits_for_ever_and_neighbours_stay_together(
    seed: int, staleness: int, latency: float, spread: float
) -> None:
    topology = random_out(6, degree=2, seed=seed % 7)
    clock = SimulatedClock(0.01, latency, 1e4, spread, slow_nodes=(2,), slowdown=20.0)
    found = averaging(OverlapPushSum(staleness=staleness), topology, clock, steps=6, seed=seed)
    nodes = [program for program in found.programs if isinstance(program, OverlapPushSumNode)]
    for _ in found.events():
        rows = [letter.row for letter in found.under_way()]
        rows += [row for node in nodes for heard in node.heard.values() for row in heard]
        numerator = sum(float(node.push_sum.numerator) for node in nodes) + sum(float(row[0, 0]) for row in rows)
        weight = sum(float(node.push_sum.weight) for node in nodes) + sum(float(row[0, 1]) for row in rows)
        assert abs(numerator - 15) < 1e-12 and abs(weight - 6) < 1e-12
        assert all(node.updates <= nodes[j].updates + staleness + 1 for node in nodes for j in node.heard)
    assert [node.updates for node in nodes] == [6] * 6


def test_a_node_that_gives_all_away_and_messages_from_the_future_are_refused() -> None:
    topology = Topology.from_matrix(np.roll(np.eye(4), 1, axis=0))
    with pytest.raises(ValueError, match="OverlapPushSum: node 1 keeps no share of its own"):
        OverlapPushSum().programs(topology, [1, 2], torch.zeros(2, 3))
    with pytest.raises(ValueError, match="OverlapPushSum: staleness = -1 is not allowed; it must be >= 0"):
        OverlapPushSum(staleness=-1)
    assert len(OverlapPushSum().programs(ring(4), [3], torch.zeros(1, 3))) == 1
