"""Zeno++ against a literal transcription, and what attackers can do to it and to a server without a defence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from algorithms import QSGD, ALittleIsEnough, Attack, AttackedNodes, Full, GaussianNoise, Scaling, SignFlip, Zeros
from algorithms.asynchronous import AdPsgd, Asynchronous, AsynchronousElasticAveraging, Downpour, ZenoPlusPlus
from algorithms.asynchronous.zeno_plus_plus import Judge
from gossip import workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import Schedule
from tests.algorithms.asynchronous.helpers import CLOCK
from tests.algorithms.helpers import Array, LeastSquares, least_squares, same_curvature, starts
from topologies import complete, ring, with_hubs

N = 6


def training(algorithm: Asynchronous, problem: LeastSquares) -> EventDriver:
    n = problem.n
    x = torch.from_numpy(starts(problem))
    graph = with_hubs(complete(n), algorithm.hubs, algorithm.servers)
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    further = x[:1].expand(algorithm.servers, -1)
    programs = algorithm.programs(graph, range(graph.n), torch.cat([x, further]))
    return EventDriver(programs, graph, gradients, CLOCK, servers=algorithm.servers)


def literal(schedule: Schedule, problem: LeastSquares, method: ZenoPlusPlus, factor: float, liars: list[int]) -> Array:
    """(events, n, d): all models after each event."""
    assert isinstance(method.lr, float)
    n = problem.n

    def gradient(i: int, x: Array) -> Array:
        return np.asarray(problem.hessians[i] @ x - problem.slopes[i])

    x = starts(problem)
    up: list[list[Array]] = [[] for _ in range(n)]
    down: list[list[Array]] = [[] for _ in range(n)]
    v, point, computing, since = None, x[n - 1].copy(), True, 0
    early: list[tuple[int, Array]] = []
    found = []

    def judge(i: int, g: Array) -> None:
        nonlocal since, computing, point
        assert v is not None
        g = g * np.linalg.norm(v) / np.linalg.norm(g)
        if method.lr * v @ g - method.rho * g @ g + method.lr * method.epsilon >= 0:
            x[n - 1] = x[n - 1] - method.lr * g
            since += 1
        down[i].append(x[n - 1].copy())
        if since >= method.period and not computing:
            computing, since, point = True, 0, x[n - 1].copy()

    for event in schedule:
        i = event.node
        if event.kind == "gradient" and i == n - 1:
            v, computing = gradient(i, point), False
            for each in early:
                judge(*each)
            early = []
            if since >= method.period and not computing:
                computing, since, point = True, 0, x[n - 1].copy()
        elif event.kind == "gradient":
            up[i].append(gradient(i, x[i]) * (factor if i in liars else 1))
        elif event.kind == "message" and i == n - 1:
            told = event.sender, up[event.sender].pop(0)
            if v is None:
                early.append(told)
            else:
                judge(*told)
        elif event.kind == "message":
            x[i] = down[i].pop(0)
        found.append(x.copy())
    return np.stack(found)


@pytest.mark.parametrize("epsilon", [0.0, 2.0])
@pytest.mark.parametrize("period", [1, 4])
def test_the_equations(period: int, epsilon: float) -> None:
    problem, method = least_squares(N), ZenoPlusPlus(lr=0.03, rho=0.01, epsilon=epsilon, period=period)
    run = training(AttackedNodes(method, SignFlip(0.7), attackers=(1, 3)), problem)
    models = np.stack([run.models().numpy() for _ in run.events(until=0.6)])
    wanted = literal(run.schedule, problem, method, -0.7, [1, 3])
    np.testing.assert_allclose(models, wanted, rtol=0, atol=1e-11)
    judge = run.programs[-1]
    assert isinstance(judge, Judge)
    assert judge.updates > 5 and judge.refused > 0


@pytest.mark.parametrize("attack", [SignFlip(10.0), Scaling(100.0), GaussianNoise(50.0), Zeros()], ids=str)
def test_a_majority_of_liars_does_not_keep_it_from_the_optimum(attack: Attack) -> None:
    problem = same_curvature(N, 1.0)
    problem.b[:] = problem.b[:1]
    liars = (0, 2, 4)

    def error(method: Asynchronous) -> float:
        run = training(AttackedNodes(method, attack, attackers=liars), problem)
        run.run(until=8.0)
        return float(np.abs(run.models().numpy()[-1] - problem.optimum).max())

    assert error(ZenoPlusPlus(lr=0.1, rho=0.01, period=1)) < 0.05
    if not isinstance(attack, Zeros):  # which only do not help
        assert not error(Downpour(lr=0.1)) < 0.5


def test_a_gradient_without_length_changes_nothing() -> None:
    problem = least_squares(N)
    run = training(AttackedNodes(ZenoPlusPlus(lr=0.03), Zeros(), attackers=tuple(range(N - 1))), problem)
    run.run(until=0.5)
    np.testing.assert_array_equal(run.models().numpy()[-1], starts(problem)[-1])


def test_a_forged_message_is_as_long_as_a_true_one() -> None:
    honest = AdPsgd(compressor=QSGD(levels=15))
    problem = least_squares(N)
    x = torch.from_numpy(starts(problem))
    traffic = []
    for method in (honest, AttackedNodes(honest, SignFlip(2.0), attackers=(1,))):
        gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
        run = EventDriver(method.programs(ring(N), range(N), x), ring(N), gradients, CLOCK)
        run.run(until=0.2)
        traffic.append((run.traffic.bytes.tolist(), run.traffic.messages.tolist()))
    assert traffic[0] == traffic[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttackedNodes(Downpour(), ALittleIsEnough(1.0)), "attack = .* one that does not collude"),
        (lambda: AttackedNodes(Downpour(), attackers=(1, 1)), "attackers = .* each once"),
        (lambda: AttackedNodes(AttackedNodes()), "algorithm = .* not attacked already"),
        (lambda: ZenoPlusPlus(period=0), "period = 0 is not allowed"),
        (
            lambda: training(AttackedNodes(ZenoPlusPlus(), attackers=(N - 1,)), least_squares(N)),
            "among the nodes 0 to 4",
        ),
        (
            lambda: training(AttackedNodes(AsynchronousElasticAveraging(), attackers=(N,)), least_squares(N)),
            "among the nodes 0 to 5",
        ),
    ],
    ids=["colludes", "twice", "nested", "period", "judge", "server"],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
