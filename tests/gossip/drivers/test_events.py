"""Asynchronous programs on simulated nodes, against a literal transcription of what they do in the order of events."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Full, Minibatch, Sample, TopK
from algorithms.program import NodeContext, NodeProgram
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import Schedule
from tests.algorithms.helpers import Array, least_squares, starts
from topologies import erdos_renyi, random_out, ring

N, LR = 12, 0.05
CLOCK = SimulatedClock(0.01, 1e-3, 1e6, exponential_seconds=0.01, slow_nodes=(2,), slowdown=3.0)


@dataclass
class PairwiseSGD(NodeProgram):
    """AD-PSGD with exchanges of differences (Lian, Zhang, Zhang, Liu, ICML 2018, arXiv 1710.06952).

    A node computes gradients without a pause. With each it moves, x <- x - lr g, and sends x to a random neighbour j,
    which takes half the way towards it, x_j <- x_j + delta with delta = (x - x_j) / 2, and sends delta back, which is
    subtracted from x, wherever that is by then: what one has got the other has given.
    """

    x: Tensor
    steps: int
    lr: float = LR
    done: int = 0
    partners: list[int] = field(default_factory=list)

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        self.x = self.x - self.lr * sample.gradient
        partner = int(context.draw("partner").generator(0).choice(context.neighbors))
        self.partners.append(partner)
        context.send(partner, self.x, "model")
        self.done += 1
        if self.done == self.steps:
            context.stop()
        else:
            context.ask_gradient(self.x)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if kind == "model":
            delta = (value - self.x) / 2
            self.x = self.x + delta
            context.send(sender, delta, "difference")
        else:
            self.x = self.x - value

    @property
    def model(self) -> Tensor:
        return self.x


def driver(steps: int, lr: float = LR, clock: SimulatedClock = CLOCK, seed: int = 0) -> EventDriver:
    problem = least_squares(N)
    x = torch.from_numpy(starts(problem))
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    programs = [PairwiseSGD(row[None].clone(), steps, lr) for row in x]
    return EventDriver(programs, ring(N), gradients, clock, seed=seed)


def transcription(schedule: Schedule, partners: list[list[int]]) -> Array:
    """(events + 1, N, d): all models after each event of PairwiseSGD, from who did what in which order alone."""
    problem = least_squares(N)
    X = starts(problem)
    points, counts = X.copy(), [0] * N
    links: dict[tuple[int, int], list[tuple[str, Array]]] = {}
    models = [X.copy()]
    for event in schedule:
        i, j = event.node, event.sender
        if event.kind == "gradient":
            A, b, m = problem.A[i], problem.b[i], problem.A.shape[1]
            X[i] = X[i] - LR * A.T @ (A @ points[i] - b) / m
            links.setdefault((i, partners[i][counts[i]]), []).append(("model", X[i].copy()))
            counts[i] += 1
            points[i] = X[i]
        elif event.kind == "message":
            kind, value = links[j, i].pop(0)
            if kind == "model":
                delta = (value - X[i]) / 2
                X[i] = X[i] + delta
                links.setdefault((i, j), []).append(("difference", delta))
            else:
                X[i] = X[i] - value
        models.append(X.copy())
    return np.stack(models)


def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule() -> None:
    run = driver(steps=20)
    models = [run.models().numpy()]
    for _ in run.events():
        models.append(run.models().numpy())
    partners = [program.partners for program in run.programs]  # type: ignore[attr-defined]
    wanted = transcription(run.schedule, partners)
    assert len(models) == N + N * 20 * 3 + 1  # starts, gradients, and two messages for each of these
    assert np.abs(np.stack(models) - wanted).max() <= 1e-12
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1


def test_what_one_gets_the_other_gives() -> None:
    run = driver(steps=30, lr=0.0)
    before = run.models()
    list(run.events())
    after = run.models()
    torch.testing.assert_close(after.mean(dim=0), before.mean(dim=0), rtol=0, atol=1e-13)
    assert (after - after.mean(dim=0)).norm() < 0.2 * (before - before.mean(dim=0)).norm()


def test_it_trains() -> None:
    problem = least_squares(N)
    run = driver(steps=400, lr=0.02, clock=SimulatedClock(0.01, 1e-3, 1e6, exponential_seconds=0.01))
    list(run.events())
    mean = run.models().mean(dim=0).numpy()
    assert np.abs(mean - problem.optimum).max() < 0.2 * np.abs(starts(problem).mean(axis=0) - problem.optimum).max()


def test_two_runs_are_one_and_another_seed_makes_another() -> None:
    def run(seed: int) -> tuple[Schedule, Tensor]:
        one = driver(steps=10, seed=seed)
        list(one.events())
        return one.schedule, one.models()

    (schedule, models), (again, same), (other, _) = run(0), run(0), run(1)
    assert schedule == again and torch.equal(models, same)
    assert schedule != other
    assert list(schedule) == sorted(schedule)
    assert all(isinstance(event.time, int) for event in schedule)


@dataclass
class Echo(NodeProgram):
    """Sends its number once, notes what it hears and when in its own life."""

    value: Tensor
    heard: list[tuple[str, int]] = field(default_factory=list)

    def on_start(self, context: NodeContext) -> None:
        for to in context.neighbors:
            context.send(to, self.value)
        context.ask_gradient(self.value)
        context.set_timer(0.5)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        self.heard.append(("gradient", int(sample.gradient)))
        context.set_timer(9.0)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.heard.append(("message", int(value)))

    def on_timer(self, context: NodeContext) -> None:
        self.heard.append(("timer", context.node))
        context.stop()

    @property
    def model(self) -> Tensor:
        return self.value


def echoes(compute: float) -> tuple[EventDriver, list[Echo]]:
    def gradient(node: int, x: Tensor, step: int) -> Sample:
        return Sample(2 * x, x[:, 0])

    programs = [Echo(torch.full((1, 1), float(node), dtype=torch.float64)) for node in range(3)]
    return EventDriver(programs, ring(3), gradient, SimulatedClock(compute, 0.1, 80.0)), programs


def test_times_by_hand() -> None:
    # Eight bytes take a tenth of a second to leave, and as long to come in at the same time, and arrive another one
    # later. The second of a sender waits for the first, and so does the second that comes to a listener.
    run, programs = echoes(compute=0.25)
    list(run.events())
    times = {(event.kind, event.node, event.sender): event.time for event in run.schedule}
    assert times["message", 1, 0] == times["message", 0, 1] == 200_000_000
    assert times["message", 0, 2] == times["message", 2, 0] == times["message", 1, 2] == 300_000_000
    assert times["message", 2, 1] == 400_000_000  # it leaves second, and comes to the listener with the second of 0
    assert times["gradient", 0, 0] == 250_000_000 and times["timer", 0, 0] == 500_000_000
    assert run.seconds == 0.5  # the timers after the stop are gone
    assert programs[0].heard == [("message", 1), ("gradient", 0), ("message", 2), ("timer", 0)]
    assert programs[2].heard == [("gradient", 4), ("message", 0), ("message", 1), ("timer", 2)]
    assert run.traffic.bytes.tolist() == [16] * 3 and run.traffic.messages.tolist() == [2] * 3


def test_who_has_stopped_gets_messages_and_no_gradient() -> None:
    run, programs = echoes(compute=0.75)
    list(run.events())
    assert {what for what, _ in programs[0].heard} == {"message", "timer"}


def test_it_can_be_stopped_and_go_on() -> None:
    whole, halves = driver(steps=5), driver(steps=5)
    list(whole.events())
    first = list(halves.events(until=0.05))
    assert 0 < len(first) < len(whole.schedule) and first[-1].time <= 50_000_000
    assert first + list(halves.events()) == list(whole.schedule) and halves.schedule == whole.schedule
    assert torch.equal(halves.models(), whole.models())


class Refused(Echo):
    """Does what is not allowed."""

    def on_start(self, context: NodeContext) -> None:
        with pytest.raises(ValueError, match="node 0 has no link to node 2"):
            context.send(2, self.value)
        context.ask_gradient(self.value)
        with pytest.raises(RuntimeError, match="node 0 is still computing a gradient"):
            context.ask_gradient(self.value)
        message = TopK(k=1).compress(self.value, context.draw("test"))
        context.send(1, message)
        context.stop()
        with pytest.raises(RuntimeError, match="node 0 has stopped"):
            context.ask_gradient(self.value)
        self.size = int(message.nbytes)


def test_refusals_and_packed_messages() -> None:
    zero = torch.zeros(1, 1, dtype=torch.float64)
    programs = [Refused(zero + 7), Echo(zero), Echo(zero), Echo(zero)]
    run = EventDriver(programs, ring(4), lambda node, x, step: Sample(x, x[:, 0]), CLOCK)
    list(run.events(until=0.005))
    assert ("message", 7) in programs[1].heard
    assert run.traffic.bytes[0] == programs[0].size  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="1 programs for 4 nodes: every node needs one"):
        EventDriver(programs[:1], ring(4), lambda node, x, step: Sample(x, x[:, 0]), CLOCK)


def test_links_run_one_way() -> None:
    topology = random_out(9, degree=2, seed=1)
    programs = [Echo(torch.full((1, 1), float(node))) for node in range(9)]
    run = EventDriver(programs, topology, lambda node, x, step: Sample(x, x[:, 0]), CLOCK)
    list(run.events())
    for node, program in enumerate(programs):
        assert sorted(value for kind, value in program.heard if kind == "message") == topology.neighbors(node).tolist()


def test_a_thousand_nodes_run_in_one_process() -> None:
    n = 1000
    random = np.random.default_rng(0)
    workload = workloads.LeastSquares(random.normal(size=(n, 4, 10)), random.normal(size=(n, 4)))
    x = torch.zeros(n, 10, dtype=torch.float64)
    programs = [PairwiseSGD(row[None].clone(), 3) for row in x]
    began = time.perf_counter()
    run = EventDriver(programs, erdos_renyi(n), NodeGradients(Minibatch(2), workload, x), CLOCK)
    list(run.events())
    assert len(run.schedule) == n + 9 * n
    assert time.perf_counter() - began < 20  # about one on an idle core
    assert run.models().norm(dim=1).min() > 0
