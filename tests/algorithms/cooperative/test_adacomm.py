"""AdaComm: its rules by hand, whole runs on a simulated clock by literal equations, and in every periodic method."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import (
    AdaComm,
    Algorithm,
    CocodSGD,
    CooperativeSGD,
    DecentralizedSGD,
    ElasticAveraging,
    GossipPGA,
    LeaderSGD,
    LocalSGD,
    NonFiniteError,
    OverlapLocalSGD,
    Sample,
    SquarmSGD,
    StepDecay,
    adacomm_sgd,
)
from gossip import SimulatedClock
from gossip.network import Communicator, connect
from gossip.options.command_line import parse
from tests.algorithms.helpers import Array, LeastSquares, least_squares, network_of, starts
from topologies import ring

N, LATENCY = 8, 0.5
CLOCK = SimulatedClock(compute_seconds=1.0, latency=LATENCY, bandwidth=math.inf)
ALL_REDUCE = 2 * 3 * LATENCY  # seconds, over 8 nodes
FOREVER = AdaComm(3, interval=1e9)
METHODS: list[tuple[type[Algorithm], dict[str, Any]]] = [
    (LocalSGD, {"switch": 2, "momentum": 0.5}),
    (CooperativeSGD, {}),
    (CocodSGD, {}),
    (OverlapLocalSGD, {}),
    (ElasticAveraging, {"order": "simultaneous"}),
    (ElasticAveraging, {"order": "sequential", "momentum": 0.5}),
    (LeaderSGD, {"groups": 2, "global_every": 2}),
    (GossipPGA, {}),
    (DecentralizedSGD, {"order": "adapt-then-combine"}),
    (DecentralizedSGD, {"order": "consensus"}),
    (SquarmSGD, {}),
]


def losses(problem: LeastSquares, X: Array) -> Array:
    """(n,): f_i(x_i)."""
    return ((np.einsum("nmd,nd->nm", problem.A, X) - problem.b) ** 2).mean(axis=1) / 2


def drive(algorithm: Algorithm, steps: int, clock: SimulatedClock | None = CLOCK) -> tuple[Array, list[int], float]:
    """(points (steps + 1, n, d); the period after each step; the seconds at the end)."""
    problem = least_squares(N)
    network = connect(ring(N), Communicator(), clock=clock)
    state = algorithm.start(torch.tensor(starts(problem)), network)
    points, periods = [state.x.numpy().copy()], []
    for step in range(steps):
        X = points[-1]
        sample = Sample(torch.tensor(problem.gradient(X)), torch.tensor(losses(problem, X)))
        algorithm.post(state, network)
        network.finish_gradients(step)
        algorithm.advance(state, sample, network)
        points.append(state.x.numpy().copy())
        periods.append(int(algorithm.report(state).get("period", torch.zeros(1))[0]))
    return np.stack(points), periods, network.seconds


def literal(rate: Any, steps: int, o: AdaComm) -> tuple[Array, list[int], float]:
    """Local SGD by the paper: F_l at the averaged model when an interval is over, then tau_l."""
    problem = least_squares(N)
    X, now, tau, taus, points, since = starts(problem), 0.0, o.start, [], [starts(problem)], 0
    first: tuple[float, float] | None = None
    measure, end, last_rate = True, o.interval, math.inf
    for k in range(steps):
        now += 1.0
        lr = rate(k)
        if o.hold_lr and tau > 1 and last_rate < math.inf:
            lr = max(lr, last_rate)
        G = problem.gradient(X)
        if measure:
            F = losses(problem, X).mean()
            now += ALL_REDUCE
            if first is None:
                first = F, lr
            else:
                new = math.ceil(math.sqrt((first[1] / lr) ** o.lr_power * F / first[0]) * o.start)
                tau = max(1, new if not o.refined or new < tau else int(o.gamma * tau))
            measure = False
        last_rate = lr
        X = X - lr * G
        since += 1
        if since >= tau:
            since = 0
            if now >= end and not (o.refined and tau == 1):
                measure = True
                while end <= now:
                    end += o.interval
            X = np.tile(X.mean(axis=0), (N, 1))
            now += ALL_REDUCE
        points.append(X)
        taus.append(tau)
    return np.stack(points), taus, now


@pytest.mark.parametrize(
    "controller",
    [
        AdaComm(16, interval=40.0),
        AdaComm(16, interval=40.0, refined=False),
        AdaComm(9, interval=3.0, gamma=0.7),
        AdaComm(16, interval=60.0, refined=False, lr_power=3.0),
        AdaComm(16, interval=40.0, lr_power=0.0, hold_lr=True),
    ],
    ids=str,
)
def test_against_the_equations(controller: AdaComm) -> None:
    rate = StepDecay(lr=0.05, milestones=(40, 150), factor=0.3)
    points, periods, seconds = drive(LocalSGD(lr=rate, period=controller), 200)
    wanted, taus, now = literal(rate, 200, controller)
    assert len(set(taus)) > 2
    assert periods == taus
    assert np.abs(points - wanted).max() <= 1e-10
    assert seconds == pytest.approx(now)


def test_the_rules() -> None:
    assert AdaComm(20).period(loss=1 / 4, lr=1.0, before=20) == 10
    assert AdaComm(20).period(loss=0.5, lr=1.0, before=20) == 15  # ceil(14.14)
    period, halved = 16, []
    while period > 1:
        period = AdaComm(16).period(loss=1.0, lr=1.0, before=period)
        halved.append(period)
    assert halved == [8, 4, 2, 1]
    basic = AdaComm(16, refined=False)
    assert basic.period(1.0, 1.0, 16) == 16 and basic.period(4.0, 1.0, 16) == 32
    assert basic.period(0.25, 0.1, 8) == math.ceil(math.sqrt(2.5) * 16)
    assert AdaComm(16, refined=False, lr_power=3.0).period(0.25, 0.5, 8) == math.ceil(math.sqrt(2) * 16)
    assert AdaComm(16, refined=False, lr_power=0.0).period(0.25, 0.1, 8) == 8
    for loss in (1e-30, 0.0, -1.0):
        assert AdaComm(100).period(loss, 1.0, 100) == 1


def test_it_begins_with_synchronous_sgd_and_stays_there() -> None:
    points = [drive(LocalSGD(0.05, period), 30)[0] for period in (1, AdaComm(1, interval=2.0))]
    np.testing.assert_array_equal(*points)


@pytest.mark.parametrize(("kind", "options"), METHODS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_in_an_endless_interval_it_is_the_period_to_the_last_bit(
    kind: type[Algorithm], options: dict[str, Any]
) -> None:
    controlled, fixed = (drive(kind(lr=0.05, period=period, **options), 20) for period in (FOREVER, 3))  # type: ignore[call-arg]
    np.testing.assert_array_equal(controlled[0], fixed[0])
    assert controlled[1] == [3] * 20


@pytest.mark.parametrize(("kind", "options"), METHODS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_in_every_method_it_ends_with_period_1(kind: type[Algorithm], options: dict[str, Any]) -> None:
    _, periods, _ = drive(kind(lr=0.05, period=AdaComm(8, interval=6.0), **options), 60)  # type: ignore[call-arg]
    assert periods[0] == 8 and periods[-1] == 1 and periods == sorted(periods, reverse=True)


def test_on_the_wall_clock() -> None:
    """Intervals that are over whenever one looks, on any clock."""
    runs = [drive(LocalSGD(0.02, period=AdaComm(8, interval=1e-9)), 40, clock) for clock in (None, CLOCK)]
    assert runs[0][1] == runs[1][1] and runs[0][1][-1] == 1
    np.testing.assert_array_equal(runs[0][0], runs[1][0])


def test_losses_of_several_iterations() -> None:
    """F is a mean over 3 iterations, and the period changes in the third."""
    algorithm = LocalSGD(0.05, period=AdaComm(6, interval=1.0, samples=3, refined=False))
    points, periods, _ = drive(algorithm, 12)
    problem = least_squares(N)
    F = [losses(problem, X).mean() for X in points]
    assert periods[:8] == [6] * 8
    assert periods[8] == math.ceil(math.sqrt(sum(F[6:9]) / sum(F[:3])) * 6)


def test_decays_wait_until_the_period_is_1() -> None:
    decays = StepDecay(lr=0.05, milestones=(4,), factor=0.1)
    for start, hold, same_as in ((8, True, 0.05), (8, False, decays), (1, True, decays)):
        points = drive(LocalSGD(decays, period=AdaComm(start, interval=1e9, hold_lr=hold)), 20)[0]
        np.testing.assert_array_equal(points, drive(LocalSGD(same_as, period=start), 20)[0])


def test_block_momentum_is_slow_momentum_beside_one_that_starts_anew() -> None:
    ours = adacomm_sgd(0.02, start=4, interval=1e9, momentum=0.9, block_momentum=0.3)
    problem = least_squares(N)
    points, _, _ = drive(ours, 40)
    z, X, V, u = starts(problem).mean(axis=0), starts(problem), np.zeros((N, 5)), np.zeros(5)
    for k in range(40):
        V = 0.9 * V + problem.gradient(X)
        X = X - 0.02 * V
        if (k + 1) % 4 == 0:
            u = 0.3 * u + (z - X.mean(axis=0))  # block-wise: in units of the parameters
            z = z - u
            X, V = np.tile(z, (N, 1)), np.zeros((N, 5))
    assert np.abs(points[-1] - X).max() <= 1e-10


def test_one_number_travels_in_an_interval() -> None:
    problem, network = least_squares(N), connect(ring(N), Communicator(), clock=CLOCK)
    algorithm = LocalSGD(0.01, period=AdaComm(4, interval=20.0))
    state = algorithm.start(torch.tensor(starts(problem)), network)
    for step in range(8):
        X = state.x.numpy()
        network.finish_gradients(step)
        algorithm.advance(state, Sample(torch.tensor(problem.gradient(X)), torch.tensor(losses(problem, X))), network)
    assert network.traffic.bytes.sum() == 2 * (N - 1) * 8 * (2 * 5 + 1)  # two averages, and the loss at the start


def test_from_the_command_line() -> None:
    chosen = parse(["--algorithm=CocodSGD", "--algorithm.period=AdaComm", "--algorithm.period.start=7"], 1).algorithm
    assert isinstance(chosen, CocodSGD) and chosen.period == AdaComm(start=7)
    number = parse(["--algorithm=CocodSGD", "--algorithm.period=7"], 1).algorithm
    assert isinstance(number, CocodSGD) and number.period == 7


def test_refusals() -> None:
    for options, name in (
        ({"start": 0}, "start"),
        ({"interval": 0.0}, "interval"),
        ({"gamma": 1.0}, "gamma"),
        ({"lr_power": -1.0}, "lr_power"),
        ({"samples": 0}, "samples"),
    ):
        with pytest.raises(ValueError, match=f"AdaComm: {name} = .* is not allowed; it must be"):
            AdaComm(**options)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"DecentralizedSGD: period = AdaComm.* a number in the order combine-then-adapt"
    ):
        DecentralizedSGD(order="combine-then-adapt", period=AdaComm())
    with pytest.raises(ValueError, match=r"LeaderSGD: proximal = 2.0 .* in \[0, period = 1\]"):
        LeaderSGD(period=AdaComm(), proximal=2.0)
    network = network_of(ring(2))
    algorithm = LocalSGD(period=AdaComm())
    for loss, error, says in (
        (math.nan, NonFiniteError, "AdaComm: the training loss is nan; in one's own loop, step needs a closure"),
        (0.0, ValueError, "AdaComm needs a loss that is > 0 at the start"),
    ):
        state = algorithm.start(torch.zeros(2, 3), network)
        with pytest.raises(error, match=says):
            algorithm.step(state, Sample(torch.zeros(2, 3), torch.full((2,), loss)), network)
