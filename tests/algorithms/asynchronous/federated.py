"""Federated runs on simulated clients of different speeds, and what clients do in them, literally."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from algorithms import Full, Message
from algorithms.asynchronous import Asynchronous
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.nodes import LocalNode
from gossip.drivers.schedule import Schedule
from gossip.network import SimulatedNetwork
from tests.algorithms.asynchronous.helpers import CLOCK
from tests.algorithms.helpers import Array, least_squares
from topologies import complete, with_hubs

EQUAL = SimulatedClock(0.01, 1e-3, 1e9)  # clients of the same speed
Answered = Callable[[int, int, Array, int], Array]
"""What the server's model is after an answer, given the event in which it comes, the client, the answer, and the event
in which the server sent the model that the client began with."""


def federated(
    method: Asynchronous,
    clients: int = 8,
    steps: int | None = None,
    clock: SimulatedClock | SimulatedNetwork = CLOCK,
    seed: int = 0,
) -> EventDriver:
    """On the least squares of so many clients, all from 0."""
    problem = least_squares(clients)
    graph = with_hubs(complete(clients), method.hubs, method.servers)
    x = torch.zeros(graph.n, problem.d, dtype=torch.float64)
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x[:clients])
    programs = method.programs(graph, range(graph.n), x)
    return EventDriver(programs, graph, gradients, clock, seed=seed, steps=steps, servers=method.servers)


class Sent(list[int]):
    """To whom the only node of a process has sent; a `Host`."""

    def compute(self, node: LocalNode, x: Tensor) -> None:
        """Servers ask for no gradients."""

    def carry(self, node: LocalNode, to: int, value: Tensor | Message, label: str) -> None:
        """Note to whom."""
        self.append(to)

    def wake(self, node: LocalNode, seconds: float) -> None:
        """Nor do they set timers."""


def server_of(method: Asynchronous, clients: int) -> tuple[LocalNode, Sent]:
    """The server alone, and to whom it sends."""
    graph = with_hubs(complete(clients), method.hubs, method.servers)
    (program,) = method.programs(graph, [clients], torch.zeros(1, 5, dtype=torch.float64))
    sent = Sent()
    return LocalNode(clients, tuple(range(clients)), program, sent, seed=0), sent


def models_of(run: EventDriver, until: float) -> Array:
    """(events, d): the server's model after each event."""
    return np.stack([run.programs[-1].model[0].numpy().copy() for _ in run.events(until)])


def transcription(
    schedule: Schedule, answered: Answered, lr: float, local_steps: int, mu: float = 0.0, difference: bool = False
) -> Array:
    """(events, d): the server's model after each event, from who did what in which order alone.

    What a message carries is what its sender had after the event in which it sent it.
    """
    server = schedule.n - 1
    problem = least_squares(server)
    w, u, anchor = (np.zeros((rows, problem.d)) for rows in (1, server, server))
    done, began = [0] * server, [0] * server
    sent: list[Array] = []  # what a node may have sent in each event
    models = []
    for number, (event, cause) in enumerate(zip(schedule, schedule.causes.tolist(), strict=True)):
        i = event.node
        if i == server and event.kind == "message":
            w[0] = answered(number, event.sender, sent[cause], began[event.sender])
        elif event.kind == "message":
            u[i], anchor[i], done[i], began[i] = sent[cause], sent[cause], 0, cause
        elif event.kind == "gradient":
            u[i] -= lr * (problem.hessians[i] @ u[i] - problem.slopes[i] + mu * (u[i] - anchor[i]))
            done[i] += 1
            assert done[i] <= local_steps
        sent.append(w[0].copy() if i == server else u[i] - difference * anchor[i])
        models.append(w[0].copy())
    return np.stack(models)
