"""Asynchronous leader SGD against a literal transcription, and what holds at its ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Full
from algorithms.asynchronous import AsynchronousLeaderSGD
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK
from tests.algorithms.helpers import Array, LeastSquares, least_squares, starts
from topologies import complete, with_hubs

EQUAL = SimulatedClock(1.0, 0.0, float("inf"))


def training(method: AsynchronousLeaderSGD, problem: LeastSquares, clock: SimulatedClock = CLOCK) -> EventDriver:
    n = problem.n
    x, graph = torch.from_numpy(starts(problem)), with_hubs(complete(n), 1, 1)
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    return EventDriver(method.programs(graph, range(n + 1), torch.cat([x, x[:1]])), graph, gradients, clock, servers=1)


def literal(schedule: Schedule, problem: LeastSquares, method: AsynchronousLeaderSGD) -> Array:
    """(events, n, d): the models after each event."""
    n, tau, tau_g = problem.n, method.period, method.period * method.global_every
    assert isinstance(method.lr, float)
    group = [node * method.groups // n for node in range(n)]
    x, v, t = starts(problem), np.zeros((n, problem.d)), [0] * n
    points, local, whole = x.copy(), [None] * n, [None] * n  # type: ignore[var-annotated]
    losses: list[list[float]] = [[] for _ in range(n)]
    up: list[list[tuple[str, object]]] = [[] for _ in range(n)]
    down: list[list[tuple[str, object]]] = [[] for _ in range(n)]
    known: dict[int, float] = {}
    told = choices = 0
    found = []
    for event in schedule:
        i = event.node
        if event.kind == "gradient":
            residual = problem.A[i] @ points[i] - problem.b[i]
            losses[i].append(float((residual**2).mean() / 2))
            g = problem.hessians[i] @ points[i] - problem.slopes[i]
            v[i] = method.momentum * v[i] + g
            x[i] = x[i] - method.lr * (g + method.momentum * v[i] if method.momentum else g)
            if whole[i] is not None:
                x[i] = x[i] - method.global_proximal / tau_g * (x[i] - whole[i])
            if local[i] is not None:
                x[i] = x[i] - method.proximal / tau * (x[i] - local[i])
            t[i] += 1
            if t[i] % tau == 0:
                up[i].append(("loss", np.mean(losses[i])))
                losses[i] = []
            points[i] = x[i]
        elif event.kind == "message" and i == n:
            kind, what = up[event.sender].pop(0)
            if kind == "loss":
                known[event.sender], told = float(what), told + 1  # type: ignore[arg-type]
                if told == n:
                    told, choices = 0, choices + 1
                    for each in range(method.groups):
                        members = [node for node in known if group[node] == each]
                        if members:
                            down[min(members, key=lambda node: (known[node], node))].append(("ask l", None))
                    if method.groups > 1 and choices % method.global_every == 0:
                        down[min(known, key=lambda node: (known[node], node))].append(("ask L", None))
            else:
                for node in range(n):
                    if node != event.sender and (kind == "L" or group[node] == group[event.sender]):
                        down[node].append((kind, what))
        elif event.kind == "message":
            kind, what = down[i].pop(0)
            if kind.startswith("ask"):
                up[i].append((kind[-1], x[i].copy()))
            elif kind == "l":
                local[i] = what
                x[i] = x[i] - method.pull * (x[i] - what)  # type: ignore[operator]
            else:
                whole[i] = what
                x[i] = x[i] - method.global_pull * (x[i] - what)  # type: ignore[operator]
        found.append(x.copy())
    return np.stack(found)


@pytest.mark.parametrize(
    "method",
    [
        AsynchronousLeaderSGD(lr=0.05, period=3, pull=0.3),
        AsynchronousLeaderSGD(
            lr=0.05, period=2, groups=2, global_every=2, proximal=0.3, global_proximal=0.8, momentum=0.6
        ),
    ],
    ids=["one group", "two groups"],
)
def test_the_equations(method: AsynchronousLeaderSGD) -> None:
    problem = least_squares(6)
    driver = training(method, problem)
    models = np.stack([driver.models().numpy()[:-1] for _ in driver.events(until=0.8)])
    wanted = literal(driver.schedule, problem, method)
    np.testing.assert_allclose(models, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_without_a_pull_nodes_are_alone() -> None:
    problem = least_squares(4)
    driver = training(AsynchronousLeaderSGD(lr=0.05, pull=0.0), problem, EQUAL)
    driver.advance(gradients=80)
    x = starts(problem)
    for _ in range(20):
        x = x - 0.05 * problem.gradient(x)
    np.testing.assert_allclose(driver.models().numpy()[:-1], x, atol=1e-11)


def test_with_equal_speeds_and_no_delays_all_become_the_best_one() -> None:
    problem = least_squares(5)
    driver = training(AsynchronousLeaderSGD(lr=0.05, period=3, pull=1.0), problem, EQUAL)
    driver.run(until=3.5)
    x, losses = starts(problem), np.zeros(5)
    for _ in range(3):
        losses += [((problem.A[i] @ x[i] - problem.b[i]) ** 2).mean() for i in range(5)]
        x = x - 0.05 * problem.gradient(x)
    best = x[np.argmin(losses)]
    np.testing.assert_allclose(driver.models().numpy()[:-1], np.tile(best, (5, 1)), atol=1e-12)


@pytest.mark.parametrize(
    "options", [{"pull": 1.5}, {"period": 0}, {"groups": 0}, {"proximal": 9.0}, {"global_every": 0}], ids=str
)
def test_parameters_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} = .* is not allowed"):
        AsynchronousLeaderSGD(**options)  # type: ignore[arg-type]


def test_more_groups_than_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="groups = 7 is not allowed; it must be at most 6, the number of nodes"):
        training(AsynchronousLeaderSGD(groups=7), least_squares(6))
