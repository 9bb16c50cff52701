"""A2CiD2 against a literal transcription, closed forms of its constants, and what holds in any order of events."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.asynchronous import A2CiD2
from algorithms.asynchronous.a2cid2 import A2CiD2Node, resistances
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.schedule import MESSAGE, Schedule
from tests.algorithms.asynchronous.helpers import averaging, training
from tests.algorithms.helpers import Array, least_squares, starts
from topologies import Topology, complete, erdos_renyi, ring


def transcription(schedule: Schedule, eta: float, alpha: float, lr: float, momentum: float) -> Array:
    """(events, n, d): all models after each event, from who did what when alone, on a ring of even length.

    Nodes of odd numbers are active: what comes to them answers.
    """
    problem = least_squares(schedule.n)
    X = starts(problem)
    Y, V, points = X.copy(), np.zeros_like(X), X.copy()
    mixed, asked, units, models = [0] * len(X), [0] * len(X), [0.0] * len(X), []
    told: dict[int, Array] = {}  # by the event in which it was sent
    mine: dict[int, Array] = {}
    sends = set(schedule.causes[schedule.kinds == MESSAGE].tolist())
    for number, event in enumerate(schedule):
        i = event.node
        if event.kind == "gradient":
            took = event.time - asked[i]
            units[i] = (units[i] + took) / 2 if units[i] else took
        if units[i]:
            e = math.exp(-2 * eta * (event.time - mixed[i]) / units[i])
            X[i], Y[i] = ((1 + e) * X[i] + (1 - e) * Y[i]) / 2, ((1 - e) * X[i] + (1 + e) * Y[i]) / 2
            mixed[i] = event.time
        if event.kind == "gradient":
            V[i] = momentum * V[i] + problem.hessians[i] @ points[i] - problem.slopes[i]
            X[i] -= lr * V[i]
            Y[i] -= lr * V[i]
            points[i], asked[i] = X[i], event.time
        elif event.kind == "message":
            D = told[event.cause] - (mine[i] if i % 2 else X[i])
            if i % 2 == 0:
                told[number] = X[i].copy()
            X[i] += D / 2
            Y[i] += alpha * D
        if i % 2 and number in sends:
            told[number] = mine[i] = X[i].copy()
        models.append(X.copy())
    return np.stack(models)


@pytest.mark.parametrize(("rate", "momentum"), [(1.0, 0.0), (2.5, 0.7)])
def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule(
    rate: float, momentum: float
) -> None:
    algorithm = A2CiD2(lr=0.05, rate=rate, eta=0.3, alpha=1.2, momentum=momentum)
    found = training(algorithm, ring(8), steps=15)
    models = np.stack([found.models().numpy() for _ in found.events()])
    wanted = transcription(found.schedule, 0.3, 1.2, 0.05, momentum)
    assert np.abs(models - wanted).max() <= 1e-11
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_without_mixing_it_is_plain_averaging_whatever_the_companion_does() -> None:
    runs = [training(A2CiD2(lr=0.05, eta=0.0, alpha=alpha), ring(8), steps=15) for alpha in (0.5, 3.0)]
    for found in runs:
        found.run()
    assert torch.equal(runs[0].models(), runs[1].models())
    mixing = training(A2CiD2(lr=0.05, eta=0.3, alpha=3.0), ring(8), steps=15)
    mixing.run()
    assert not torch.allclose(mixing.models(), runs[0].models(), atol=1e-3)


@pytest.mark.parametrize("n", [6, 16])
def test_constants_of_rings_and_complete_graphs_have_closed_forms(n: int) -> None:
    method = A2CiD2(rate=2.0, active="all")
    chi1, chi2 = resistances(ring(n), method.rates(ring(n)))  # each link has the rate 2
    assert chi1 == pytest.approx(1 / (2 * (2 - 2 * math.cos(2 * math.pi / n))))
    assert chi2 == pytest.approx((1 - 1 / n) / 2 / 2)
    chi1, chi2 = resistances(complete(n), method.rates(complete(n)))  # and here 4 / (n - 1)
    assert chi1 == pytest.approx((n - 1) / (4 * n)) and chi2 == pytest.approx(chi1)
    (first, *_) = method.programs(complete(n), range(n), torch.zeros(n, 1))
    assert isinstance(first, A2CiD2Node)
    assert first.alpha == pytest.approx(0.5) and first.eta == pytest.approx(1 / (2 * chi1))


def of(found: EventDriver) -> list[A2CiD2Node]:
    return [program for program in found.programs if isinstance(program, A2CiD2Node)]


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rate=st.sampled_from([0.3, 1.0, 3.0]),
    latency=st.sampled_from([0.0, 1e-3, 0.02]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
)
def test_the_sum_of_models_and_companions_is_kept_at_any_time(
    seed: int, rate: float, latency: float, spread: float
) -> None:
    clock = SimulatedClock(0.01, latency, 1e4, spread, slow_nodes=(0,), slowdown=4.0)
    found = averaging(A2CiD2(active="all", rate=rate), erdos_renyi(7, seed=seed % 5), clock, steps=8, seed=seed)
    for _ in found.events():
        answers = [letter for letter in found.under_way() if letter.label == "answer"]
        nodes = of(found)
        alpha = nodes[0].alpha
        coming = [(letter.row - nodes[letter.to].pairing.told).item() for letter in answers]  # type: ignore[operator]
        whole = sum(float(node.x + node.y) for node in nodes) + (0.5 + alpha) * sum(coming)
        assert abs(whole - 42) < 1e-9
    assert [node.updates for node in of(found)] == [8] * 7 and not list(found.under_way())


def spread_after(method: A2CiD2, topology: Topology) -> float:
    found = averaging(method, topology, SimulatedClock(0.01, 1e-5, 1e9, exponential_seconds=0.01), steps=10**6)
    found.run(until=2.0)
    return float(found.models().std())


def test_on_a_ring_it_comes_to_the_mean_faster_than_plain_averaging() -> None:
    topology = ring(32)
    plain, momentum = (spread_after(A2CiD2(eta=eta), topology) for eta in (0.0, None))
    assert momentum < 0.2 * plain


def test_a_node_alone_does_sgd() -> None:
    found = training(A2CiD2(lr=0.05), complete(1), steps=10, clock=SimulatedClock(0.01, 1e-3, 1e6))
    found.run()
    problem = least_squares(1)
    x = starts(problem)
    for _ in range(10):
        x = x - 0.05 * problem.gradient(x)
    assert np.abs(found.models().numpy() - x).max() < 1e-12


def test_hyper_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="A2CiD2: rate = 0 is not allowed; it must be > 0"):
        A2CiD2(rate=0)
    with pytest.raises(ValueError, match="A2CiD2: active = 'half' is not allowed; it must be all on this graph"):
        A2CiD2().programs(ring(5), range(5), torch.zeros(5, 1))
