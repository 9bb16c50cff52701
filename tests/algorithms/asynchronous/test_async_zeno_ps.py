"""Asynchronous ZenoPS against a literal transcription, and what attackers can do to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms import AttackedNodes, Full, SignFlip, TopK
from algorithms.asynchronous import Asynchronous, AsynchronousZenoPS
from gossip import workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK
from tests.algorithms.helpers import Array, LeastSquares, least_squares, same_curvature, starts
from topologies import complete, with_hubs

N = 5


def training(algorithm: Asynchronous, problem: LeastSquares) -> EventDriver:
    x, graph = torch.from_numpy(starts(problem)), with_hubs(complete(problem.n), 1)
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    return EventDriver(algorithm.programs(graph, range(problem.n), x), graph, gradients, CLOCK)


def literal(schedule: Schedule, problem: LeastSquares, m: AsynchronousZenoPS, k: int, liars: list[int]) -> Array:
    """(events, d): w after each event."""
    assert isinstance(m.lr, float)
    n, d = problem.n, problem.d
    x, c, w = starts(problem), starts(problem), starts(problem)[-1]
    velocity, kept, done = np.zeros((n, d)), np.zeros((n, d)), [0] * n
    v: Array | None = None
    up: list[list[Array]] = [[] for _ in range(n)]
    down: list[list[Array]] = [[] for _ in range(n)]
    early: list[tuple[int, Array]] = []
    found = []

    def use(i: int, u: Array) -> None:
        nonlocal w
        assert v is not None
        cosine = u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
        clip = min(1, np.linalg.norm(v) / np.linalg.norm(u))
        w = w + m.alpha * clip * u * (1 if cosine >= m.threshold else cosine)
        down[i].append(w)

    for event in schedule:
        i = event.node
        if event.kind == "gradient":
            g = problem.hessians[i] @ x[i] - problem.slopes[i]
            velocity[i] = m.momentum * velocity[i] + g
            x[i] = x[i] - m.lr * (g + m.momentum * velocity[i] if m.momentum else g)
            x[i] = (1 - m.rho) * x[i] + m.rho * c[i]
            done[i] += 1
            if done[i] == m.period and i == n - 1:
                v = x[i] - c[i]
                for each in early:
                    use(*each)
                early = []
                x[i] = c[i] = w
                done[i] = 0
            elif done[i] == m.period:
                u = x[i] - c[i]
                u[np.argsort(-np.abs(u))[k:]] = 0
                kept[i] = x[i] - c[i] - u
                up[i].append(u * (-0.6 if i in liars else 1))
        elif event.kind == "message" and i == n - 1:
            told = event.sender, up[event.sender].pop(0)
            if v is None:
                early.append(told)
            else:
                use(*told)
        elif event.kind == "message":
            x[i] = c[i] = down[i].pop(0) + kept[i]
            done[i] = 0
        found.append(w)
    return np.stack(found)


@pytest.mark.parametrize(
    ("options", "k"),
    [({}, 5), ({"compressor": TopK(k=2), "momentum": 0.6, "rho": 0.0, "threshold": 0.3}, 2)],
    ids=["plain", "compressed"],
)
def test_the_equations(options: dict[str, Any], k: int) -> None:
    problem = least_squares(N)
    method = AsynchronousZenoPS(**{"lr": 0.03, "period": 3} | options)
    run = training(AttackedNodes(method, SignFlip(0.6), attackers=(1,)), problem)
    models = np.stack([run.models().numpy()[-1] for _ in run.events(until=0.8)])
    wanted = literal(run.schedule, problem, method, k, [1])
    np.testing.assert_allclose(models, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_a_majority_of_liars_is_turned_around() -> None:
    problem = same_curvature(N, 1.0)
    problem.b[:] = problem.b[:1]
    method = AsynchronousZenoPS(lr=0.1, period=2, rho=0.0)
    run = training(AttackedNodes(method, SignFlip(6.0), attackers=(0, 1, 3)), problem)
    run.run(until=8.0)
    assert np.abs(run.models().numpy()[-1] - problem.optimum).max() < 1e-3


@pytest.mark.parametrize("options", [{"rho": 1.0}, {"alpha": 0.0}, {"threshold": 2.0}, {"period": 0}], ids=str)
def test_parameters_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} = .* is not allowed"):
        AsynchronousZenoPS(**options)  # type: ignore[arg-type]
