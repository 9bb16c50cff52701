"""Asynchronous push-sum against a literal transcription, and what holds in any order of events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.asynchronous import AsynchronousPushSum
from algorithms.asynchronous.push_sum import PushSumNode
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import averaging, training
from tests.algorithms.helpers import Array, least_squares, starts
from topologies import Topology, exponential, random_out, ring

LR = 0.01  # small, as steps are lr / w_i, and fast nodes have given away most of their weight


def transcription(schedule: Schedule, topology: Topology, lr: float, momentum: float) -> Array:
    """(events, n, d): n_i / w_i after each event, from who did what in which order alone."""
    problem = least_squares(schedule.n)
    P = topology.matrix.toarray()
    N, w, V = starts(problem), np.ones(schedule.n), np.zeros((schedule.n, problem.d))
    points, models = N.copy(), []
    under_way: dict[tuple[int, int], list[tuple[Array, float]]] = {}
    for event in schedule:
        i, j = event.node, event.sender
        if event.kind == "gradient":
            V[i] = momentum * V[i] + problem.hessians[i] @ points[i] - problem.slopes[i]
            N[i] -= lr * V[i]
            for k in np.flatnonzero(P[:, i]):
                if k != i:
                    under_way.setdefault((i, k), []).append((P[k, i] * N[i], P[k, i] * w[i]))
            N[i], w[i] = P[i, i] * N[i], P[i, i] * w[i]
            points[i] = N[i] / w[i]
        elif event.kind == "message":
            numerator, weight = under_way[j, i].pop(0)
            N[i], w[i] = N[i] + numerator, w[i] + weight
        models.append(N / w[:, None])
    return np.stack(models)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule(momentum: float) -> None:
    topology = exponential(8)
    run = training(AsynchronousPushSum(lr=LR, momentum=momentum), topology)
    models = np.stack([run.models().numpy() for _ in run.events(until=0.4)])
    wanted = transcription(run.schedule, topology, LR, momentum)
    assert np.abs(models - wanted).max() <= 1e-11
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.01


def mass(run: EventDriver) -> tuple[float, float]:
    """The sums of all numerators and weights, those under way included."""
    nodes = [program.push_sum for program in run.programs if isinstance(program, PushSumNode)]
    letters = [letter.row[0] for letter in run.under_way()]
    numerators = [float(each.numerator.sum()) for each in nodes] + [float(row[0]) for row in letters]
    return sum(numerators), sum(float(each.weight.sum()) for each in nodes) + sum(float(row[1]) for row in letters)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
    bandwidth=st.sampled_from([1e3, 1e6]),
)
def test_mass_is_kept_at_any_time(seed: int, latency: float, spread: float, bandwidth: float) -> None:
    clock = SimulatedClock(0.01, latency, bandwidth, spread, slow_nodes=(2,), slowdown=5.0)
    run = averaging(AsynchronousPushSum(), random_out(6, degree=2, seed=seed % 7), clock, steps=5, seed=seed)
    for _ in run.events():
        numerator, weight = mass(run)
        assert abs(numerator - 15) < 1e-12 and abs(weight - 6) < 1e-12
    schedule = run.schedule
    heard = np.bincount(schedule.senders[schedule.kinds == 2], minlength=6)
    assert heard.tolist() == run.traffic.messages.tolist() and not list(run.under_way())


def test_all_come_to_the_mean() -> None:
    run = averaging(AsynchronousPushSum(), random_out(8, degree=3, seed=1), steps=150)
    run.run(until=1.0)  # before the first of them has ended
    assert float((run.models() - 3.5).abs().max()) < 1e-3


def test_a_node_that_gives_all_away_is_refused() -> None:
    topology = Topology.from_matrix(np.roll(np.eye(4), 1, axis=0))
    with pytest.raises(ValueError, match="AsynchronousPushSum: node 1 keeps no share of its own"):
        AsynchronousPushSum().programs(topology, [1, 2], torch.zeros(2, 3))
    programs = AsynchronousPushSum().programs(ring(4), [3], torch.zeros(1, 3))
    assert sum(programs[0].shares.values()) == pytest.approx(1)  # type: ignore[attr-defined]
