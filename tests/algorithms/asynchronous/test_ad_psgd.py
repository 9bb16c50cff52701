"""AD-PSGD against a literal transcription, and what holds in any order of events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import QSGD, StepDecay
from algorithms.asynchronous import AdPsgd
from algorithms.asynchronous.ad_psgd import AdPsgdNode
from algorithms.schedules.learning_rate import learning_rate
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK, averaging, nothing, training
from tests.algorithms.helpers import Array, least_squares, starts
from topologies import Topology, complete, erdos_renyi, grid, ring


def transcription(schedule: Schedule, algorithm: AdPsgd) -> Array:
    """(events, n, d): all models after each event, from who did what in which order alone, on a ring of even length.

    Nodes of odd numbers are active. One that waits for an answer has the model that its neighbour averages with.
    """
    problem = least_squares(schedule.n)
    X = starts(problem)
    V, points, waiting = np.zeros_like(X), X.copy(), {}
    answers: dict[int, Array] = {}  # to active nodes, under way
    asked, updates, models = [False] * len(X), [0] * len(X), []

    def begin(i: int) -> None:
        points[i] = X[i]
        asked[i] = i % 2 == 1

    def move(i: int, gradient: Array) -> None:
        V[i] = algorithm.momentum * V[i] + gradient
        X[i] -= learning_rate(algorithm.lr, updates[i]) * V[i]
        updates[i] += 1
        begin(i)

    for event in schedule:
        i, j = event.node, event.sender
        if event.kind == "start":
            begin(i)
        elif event.kind == "gradient":
            gradient = problem.hessians[i] @ points[i] - problem.slopes[i]
            if asked[i]:
                waiting[i] = gradient
            else:
                move(i, gradient)
        elif i % 2 == 0:
            answers[j] = X[i].copy()
            X[i] = (X[i] + X[j]) / 2
        else:
            X[i] = (X[i] + answers.pop(i)) / 2
            asked[i] = False
            if i in waiting:
                move(i, waiting.pop(i))
        models.append(X.copy())
    return np.stack(models)


@pytest.mark.parametrize(
    "algorithm",
    [AdPsgd(lr=0.05), AdPsgd(lr=StepDecay(0.05, milestones=(5, 10), factor=0.5), momentum=0.8)],
    ids=["constant", "momentum-and-schedule"],
)
def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule(algorithm: AdPsgd) -> None:
    run = training(algorithm, ring(8), steps=20)
    models = np.stack([run.models().numpy() for _ in run.events()])
    wanted = transcription(run.schedule, algorithm)
    assert np.abs(models - wanted).max() <= 1e-12
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def missing(run: EventDriver) -> float:
    """What active nodes will have got when all answers that are under way have come."""
    models = run.models()[:, 0]
    return sum(
        float(letter.row[0, 0] - models[letter.to]) / 2 for letter in run.under_way() if letter.label == "answer"
    )


@pytest.mark.parametrize("topology", [ring(8), grid(12)], ids=["ring", "grid"])
def test_the_sum_of_the_models_is_kept_at_any_time(topology: Topology) -> None:
    run = averaging(AdPsgd(), topology)
    whole = topology.n * (topology.n - 1) / 2
    for _ in run.events():
        assert abs(float(run.models().sum()) + missing(run) - whole) < 1e-10
    assert float(run.models().std()) < 0.5


def test_two_nodes_are_at_their_mean_after_one_exchange() -> None:
    run = averaging(AdPsgd(), complete(2), steps=1)
    run.run()
    assert run.models().flatten().tolist() == [0.5, 0.5]


def used(run: EventDriver) -> list[int]:
    programs = [program for program in run.programs if isinstance(program, AdPsgdNode)]
    return [program.updates for program in programs]


def test_nodes_of_the_same_speed_that_are_all_active_do_average() -> None:
    run = averaging(AdPsgd(active="all"), complete(2), SimulatedClock(0.01, 1e-3, 1e6), steps=3)
    labels = {letter.label for _ in run.events() for letter in run.under_way()}
    assert labels == {"model", "answer", "refusal"}  # they do ask each other at the same time
    assert run.models().flatten().tolist() == [0.5, 0.5]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
    slowdown=st.sampled_from([1.0, 30.0]),
)
def test_nobody_waits_for_ever_and_nothing_is_lost(seed: int, latency: float, spread: float, slowdown: float) -> None:
    clock = SimulatedClock(0.01, latency, 1e4, spread, slow_nodes=(0,), slowdown=slowdown)

    def ended() -> EventDriver:
        run = averaging(AdPsgd(active="all"), erdos_renyi(7, seed=seed % 5), clock, steps=6, seed=seed)
        run.run()
        return run

    run, again = ended(), ended()
    schedule, steps = run.schedule, [6] * 7
    assert used(run) == steps and not list(run.under_way())
    heard = np.bincount(schedule.senders[schedule.kinds == 2], minlength=7)
    assert heard.tolist() == run.traffic.messages.tolist()
    assert abs(float(run.models().sum()) - 21) < 1e-10
    assert schedule == again.schedule and torch.equal(run.models(), again.models())


def test_with_a_compressor_the_sum_is_kept_too_and_what_travels_is_small() -> None:
    problem = least_squares(8, d=64)
    x = torch.from_numpy(starts(problem))
    algorithm = AdPsgd(lr=0.05, compressor=QSGD(levels=127))
    whole = AdPsgd(lr=0.05)

    def ended(method: AdPsgd) -> EventDriver:
        run = EventDriver(method.programs(ring(8), range(8), x), ring(8), nothing, CLOCK, steps=20)
        run.run()
        return run

    run, dense = ended(algorithm), ended(whole)
    torch.testing.assert_close(run.models().sum(0), x.sum(0), rtol=0, atol=1e-11)
    assert float(run.models().std(0).norm()) < 0.3 * float(x.std(0).norm())
    sent = run.traffic.bytes.sum() / run.traffic.messages.sum()
    assert sent < 0.3 * dense.traffic.bytes.sum() / dense.traffic.messages.sum()


def test_a_graph_that_has_no_halves_is_refused() -> None:
    x = torch.zeros(5, 1)
    with pytest.raises(ValueError, match="AdPsgd: active = 'half' is not allowed; it must be all on this graph"):
        AdPsgd().programs(ring(5), range(5), x)
    assert all(program.active for program in AdPsgd(active="all").programs(ring(5), range(5), x))  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="active = 'some' is not allowed; it must be one of half, all"):
        AdPsgd(active="some")  # type: ignore[arg-type]
