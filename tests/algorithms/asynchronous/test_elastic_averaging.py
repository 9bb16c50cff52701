"""Asynchronous EASGD, EAMSGD and DOWNPOUR against literal transcriptions, and what holds in any order of events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import Full
from algorithms.asynchronous import Asynchronous, AsynchronousElasticAveraging, Downpour
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK, nothing
from tests.algorithms.helpers import Array, LeastSquares, least_squares, same_curvature, starts
from topologies import complete, with_hubs

EQUAL = SimulatedClock(1.0, 0.0, float("inf"))


def training(
    algorithm: Asynchronous, problem: LeastSquares, clock: SimulatedClock = CLOCK, steps: int | None = None
) -> EventDriver:
    n = problem.n
    x = torch.from_numpy(starts(problem))
    graph = with_hubs(complete(n), 1, 1)
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    programs = algorithm.programs(graph, range(n + 1), torch.cat([x, x[:1]]))
    return EventDriver(programs, graph, gradients, clock, steps=steps, servers=1)


def gradient(problem: LeastSquares, i: int, x: Array) -> Array:
    return np.asarray(problem.hessians[i] @ x - problem.slopes[i])


def elastic(schedule: Schedule, problem: LeastSquares, lr: float, alpha: float, tau: int, momentum: float) -> Array:
    """(events, p + 1, d): all models after each event; a worker's messages arrive in the order of sending."""
    p, d = problem.n, problem.d
    x, z = starts(problem), starts(problem)[0]
    v, pull, t = np.zeros((p, d)), np.zeros((p, d)), np.zeros(p, int)
    up: list[list[Array | None]] = [[] for _ in range(p)]  # None asks for z
    down: list[list[Array]] = [[] for _ in range(p)]
    points, found = x.copy(), []
    for event in schedule:
        i = event.node
        if event.kind == "message" and i == p:
            told = up[event.sender].pop(0)
            if told is None:
                down[event.sender].append(z)
            else:
                z = z + told
        elif event.kind == "message":
            pull[i] = alpha * (x[i] - down[i].pop(0))
            up[i].append(pull[i].copy())
            points[i] = x[i] + momentum * v[i]
        elif i < p:
            if event.kind == "gradient":
                v[i] = momentum * v[i] - lr * gradient(problem, i, points[i])
                x[i] = x[i] + v[i] - pull[i]
                pull[i], t[i] = 0, t[i] + 1
            if t[i] % tau == 0:
                up[i].append(None)
            points[i] = x[i] + momentum * v[i]
        found.append(np.vstack([x, z]))
    return np.stack(found)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("tau", [1, 3])
def test_elastic_averaging_follows_its_equations(tau: int, momentum: float) -> None:
    problem = least_squares(5)
    run = training(AsynchronousElasticAveraging(lr=0.05, alpha=0.3, period=tau, momentum=momentum), problem)
    models = np.stack([run.models().numpy() for _ in run.events(until=0.6)])
    wanted = elastic(run.schedule, problem, 0.05, 0.3, tau, momentum)
    np.testing.assert_allclose(models, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def downpour(schedule: Schedule, problem: LeastSquares, lr: float, tau: int) -> Array:
    p, d = problem.n, problem.d
    x, z, v, t = starts(problem), starts(problem)[0], np.zeros((p, d)), np.zeros(p, int)
    up: list[list[Array]] = [[] for _ in range(p)]
    down: list[list[Array]] = [[] for _ in range(p)]
    found = []
    for event in schedule:
        i = event.node
        if event.kind == "message" and i == p:
            z = z + up[event.sender].pop(0)
            down[event.sender].append(z)
        elif event.kind == "message":
            x[i] = down[i].pop(0)
        elif i < p:
            if event.kind == "gradient":
                step = -lr * gradient(problem, i, x[i])
                x[i], v[i], t[i] = x[i] + step, v[i] + step, t[i] + 1
            if t[i] % tau == 0:
                up[i].append(v[i].copy())
                v[i] = 0
        found.append(np.vstack([x, z]))
    return np.stack(found)


@pytest.mark.parametrize("tau", [1, 3])
def test_downpour_follows_its_equations(tau: int) -> None:
    problem = least_squares(5)
    run = training(Downpour(lr=0.02, period=tau), problem)
    models = np.stack([run.models().numpy() for _ in run.events(until=0.6)])
    wanted = downpour(run.schedule, problem, 0.02, tau)
    np.testing.assert_allclose(models, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
    tau=st.integers(1, 3),
)
def test_exchanges_keep_the_sum_of_workers_and_center(seed: int, latency: float, spread: float, tau: int) -> None:
    """With the differences that are on their way, and those that workers have told and not yet taken off."""
    n, clock = 4, SimulatedClock(0.01, latency, 1e6, exponential_seconds=spread)
    method = AsynchronousElasticAveraging(alpha=0.3, period=tau)
    graph = with_hubs(complete(n), 1, 1)
    x = torch.arange(float(n + 1), dtype=torch.float64)[:, None]
    run = EventDriver(method.programs(graph, range(n + 1), x), graph, nothing, clock, seed=seed, steps=9, servers=1)
    for _ in run.events():
        letters = sum(float(each.row) for each in run.under_way() if each.label == "difference")
        pulls = sum(float(each.pull) for each in run.programs[:n] if each.pull is not None)  # type: ignore[attr-defined]
        assert float(run.models().sum()) + letters - pulls == pytest.approx(10.0, abs=1e-12)
    assert run.models().std() < x.std()


def test_one_worker_is_a_linear_system() -> None:
    """Curvature 1, tau = 1: (x - x*, z - x*) is multiplied by a matrix of lr and alpha."""
    problem = same_curvature(1, 1.0)
    run = training(AsynchronousElasticAveraging(lr=0.4, alpha=0.3), problem, EQUAL, steps=12)
    run.run()
    M = np.array([[1 - 0.4 - 0.3, 0.3], [0.3, 0.7]])
    start = np.vstack([starts(problem)] * 2) - problem.optimum
    wanted = np.linalg.matrix_power(M, 12) @ start + problem.optimum
    found = run.models().numpy()
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-12)


@pytest.mark.parametrize(("alpha", "stable"), [(0.52, True), (0.57, False)])
def test_the_bound_of_stability(alpha: float, stable: bool) -> None:
    """For lr h = 1.25 it is alpha <= (4 - 2 * 1.25) / (4 - 1.25) = 0.545; see the class."""
    problem = same_curvature(1, 1.0)
    run = training(AsynchronousElasticAveraging(lr=1.25, alpha=alpha), problem, EQUAL, steps=400)
    run.run()
    assert (np.abs(run.models().numpy() - problem.optimum).max() < 1) == stable


def test_without_elasticity_workers_are_alone() -> None:
    problem = least_squares(3)
    run = training(AsynchronousElasticAveraging(lr=0.05, alpha=0.0), problem, EQUAL, steps=30)
    run.run()
    x = starts(problem)
    for _ in range(30):
        x = np.stack([x[i] - 0.05 * gradient(problem, i, x[i]) for i in range(3)])
    np.testing.assert_allclose(run.models().numpy()[:3], x, atol=1e-11)
    np.testing.assert_array_equal(run.models().numpy()[3], starts(problem)[0])


def test_with_equal_speeds_downpour_is_p_minus_one_updates_late() -> None:
    """z_k of k updates: that of worker i has the gradient at z_{k - p + 1}."""
    p = 4
    problem = least_squares(p)
    run = training(Downpour(lr=0.02), problem, EQUAL)
    run.advance(gradients=10 * p)
    run.run(until=10.5)  # what was sent arrives
    z = [starts(problem)[0]] * p  # as each worker has it at first
    for k in range(10 * p):
        z.append(z[-1] - 0.02 * gradient(problem, k % p, z[-p]))
    found = run.models().numpy()[p]
    np.testing.assert_allclose(found, z[-1], atol=1e-11)


@pytest.mark.parametrize(
    "method",
    [
        AsynchronousElasticAveraging(lr=0.2),
        AsynchronousElasticAveraging(lr=0.05, momentum=0.8, period=4),
        Downpour(lr=0.05),
    ],
    ids=["easgd", "eamsgd", "downpour"],
)
def test_workers_with_the_same_data_find_the_optimum(method: Asynchronous) -> None:
    problem = same_curvature(4, 1.0)
    problem.b[:] = problem.b[:1]
    run = training(method, problem)
    run.run(until=12.0)
    assert np.abs(run.models().numpy()[-1] - problem.optimum).max() < 1e-6


@pytest.mark.parametrize("options", [{"alpha": 1.5}, {"period": 0}, {"momentum": 1.0}, {"lr": 0.0}], ids=str)
def test_parameters_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} = .* is not allowed"):
        AsynchronousElasticAveraging(**options)  # type: ignore[arg-type]
