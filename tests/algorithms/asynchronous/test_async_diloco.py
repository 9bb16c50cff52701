"""Asynchronous DiLoCo against a literal transcription, and its identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import SGD, Full, PolynomialDiscount
from algorithms.asynchronous import AsynchronousDiLoCo
from algorithms.asynchronous.async_diloco import DelayedNesterov
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK
from tests.algorithms.helpers import Array, LeastSquares, least_squares, same_curvature, starts
from topologies import complete, with_hubs

EQUAL = SimulatedClock(1.0, 0.0, float("inf"))


def method(**options: Any) -> AsynchronousDiLoCo:
    return AsynchronousDiLoCo(**{"lr": 0.03, "local_steps": 3, "optimizer": SGD(), "server_lr": 0.5} | options)


def training(algorithm: AsynchronousDiLoCo, problem: LeastSquares, clock: SimulatedClock = CLOCK) -> EventDriver:
    n = problem.n
    x, graph = torch.from_numpy(starts(problem)), with_hubs(complete(n), 1, 1)
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    programs = algorithm.programs(graph, range(n + 1), torch.cat([x, x[:1]]))
    return EventDriver(programs, graph, gradients, clock, servers=1)


def literal(schedule: Schedule, problem: LeastSquares, algorithm: AsynchronousDiLoCo, steps: list[int]) -> Array:
    """(events, d): theta after each event, of SGD at the workers."""
    n, N, c, beta = problem.n, algorithm.buffer, algorithm.c, algorithm.server_momentum
    assert isinstance(algorithm.lr, float) and isinstance(algorithm.server_lr, float)
    theta, m, buffer, version = starts(problem)[0], np.zeros(problem.d), [], 0  # type: ignore[var-annotated]
    x, anchor, began, done = starts(problem), starts(problem), [0] * n, [0] * n
    up: list[list[Array]] = [[] for _ in range(n)]
    down: list[list[Array]] = [[] for _ in range(n)]
    found = []
    for event in schedule:
        i = event.node
        if event.kind == "start" and i == n:
            for each in down:
                each.append(theta)
        elif event.kind == "message" and i == n:
            g = up[event.sender].pop(0) * algorithm.discount(version - began[event.sender])
            buffer.append(g)
            if len(buffer) < N:
                theta = theta - algorithm.server_lr * (c * beta * m + g / N)
            else:
                m = beta * m + sum(buffer) / N
                theta = theta - algorithm.server_lr * ((1 - c * N + c) * beta * m + g / N)
                buffer = []
            version += 1
            began[event.sender] = version
            down[event.sender].append(theta)
        elif event.kind == "message":
            x[i] = anchor[i] = down[i].pop(0)
            done[i] = 0
        elif event.kind == "gradient":
            x[i] = x[i] - algorithm.lr * (problem.hessians[i] @ x[i] - problem.slopes[i])
            done[i] += 1
            if done[i] == steps[i]:
                up[i].append(anchor[i] - x[i])
        found.append(theta)
    return np.stack(found)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"buffer": 1}, [3, 3, 3, 3, 3]),
        ({"buffer": 3, "c": 0.2}, [3, 3, 3, 3, 3]),
        ({"buffer": 2, "discount": PolynomialDiscount(), "speeds": (1.0, 0.2, 0.7, 2.0, 1.9)}, [1, 1, 1, 3, 2]),
    ],
    ids=["each", "three", "uneven"],
)
def test_the_equations(options: dict[str, Any], steps: list[int]) -> None:
    problem, algorithm = least_squares(5), method(**options)
    run = training(algorithm, problem)
    models = np.stack([run.models().numpy()[-1] for _ in run.events(until=0.8)])
    wanted = literal(run.schedule, problem, algorithm, steps)
    np.testing.assert_allclose(models, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_without_c_the_buffer_is_one_nesterov_step_on_its_mean() -> None:
    g = np.random.default_rng(0).normal(size=(8, 5))
    server = DelayedNesterov(method(buffer=4), torch.zeros(1, 5, dtype=torch.float64), 4)
    for row in g:
        server.use(torch.from_numpy(-row[None]), 0)
    theta, m = np.zeros(5), np.zeros(5)
    for four in (g[:4], g[4:]):
        m = 0.9 * m + four.mean(axis=0)
        theta = theta - 0.5 * (0.9 * m + four.mean(axis=0))
    np.testing.assert_allclose(server.x.numpy()[0], theta, atol=1e-14)


def test_workers_with_the_same_data_find_the_optimum() -> None:
    problem = same_curvature(4, 1.0)
    problem.b[:] = problem.b[:1]
    run = training(method(lr=0.1, server_lr=0.2, server_momentum=0.5), problem)
    run.run(until=15.0)
    assert np.abs(run.models().numpy()[-1] - problem.optimum).max() < 1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: method(buffer=4, c=0.5), "c = 0.5 is not allowed; it must be in .0, 1 / buffer., which is 0.25"),
        (lambda: method(server_momentum=1.0), "server_momentum = 1.0 is not allowed"),
        (lambda: method(speeds=(1.0, 0.0)), "speeds = .* is not allowed"),
        (lambda: training(method(speeds=(1.0, 1.0)), least_squares(3)), "2 speeds of 3 workers; give one for each"),
    ],
    ids=["c", "momentum", "speeds", "too few"],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
