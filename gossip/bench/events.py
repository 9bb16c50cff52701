"""`events`: asynchronous methods on many simulated nodes in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from heapq import heapify, heapreplace
from typing import Any

import numpy as np
import torch

from algorithms import A2CiD2, AdPsgd, Asynchronous, AsynchronousPushSum, Minibatch, SwarmSGD
from algorithms.numerics.threads import one_thread
from algorithms.randomness import generator
from gossip.bench.command import Command, option, whole
from gossip.console import table
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import GRADIENT, MESSAGE
from gossip.network import Communicator, SimulatedClock
from gossip.workloads import LogisticRegression
from topologies import random_regular

METHODS: dict[str, Asynchronous] = {
    "AdPsgd": AdPsgd(lr=0.05, active="all"),
    "SwarmSGD": SwarmSGD(lr=0.05),
    "AsynchronousPushSum": AsynchronousPushSum(lr=0.05),
    "A2CiD2": A2CiD2(lr=0.05, active="all"),
}
CLOCK = SimulatedClock(0.01, 1e-3, 1.25e8, exponential_seconds=0.005)
DEGREE = 4  # of the random graph


@dataclass(frozen=True)
class EventsRow:
    """One method on so many nodes.

    Attributes:
        algorithm: Its name.
        nodes: Number of nodes.
        dimension: Parameters of a node, d.
        gradients: Those of all nodes.
        messages: Those that have arrived.
        seconds: CPU seconds that the run has taken.
        limit_seconds: Those of the same gradients, all nodes' at a time, and of as many events with a copy of a row.
    """

    algorithm: str
    nodes: int
    dimension: int
    gradients: int
    messages: int
    seconds: float
    limit_seconds: float

    @property
    def events_per_second(self) -> float:
        """Gradients and messages in a CPU second."""
        return (self.gradients + self.messages) / self.seconds

    @property
    def ratio(self) -> float:
        """Time over that of the limit."""
        return self.seconds / self.limit_seconds

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        return asdict(self) | {"events_per_second": self.events_per_second, "ratio": self.ratio}


@dataclass(frozen=True)
class Events(Command):
    """Gradients and messages a CPU second of asynchronous methods on simulated nodes, in one process on one core:
    logistic regression in float64, with minibatches of one example, on a random 4-regular graph. As the ratio, too, to
    what no run can be faster than: the same gradients, of all nodes at a time, and a heap of as many events, each with
    a copy of a row. Under mpirun the first rank does it all."""

    repeats: int = option(3, "runs, of which the median counts", whole)
    algorithm: tuple[str, ...] = option(("AdPsgd", "SwarmSGD", "AsynchronousPushSum"), "methods", choices=METHODS)
    nodes: tuple[int, ...] = option((1_000, 10_000), "simulated nodes", whole, least=DEGREE + 1)
    dimension: int = option(20, "parameters of a node", whole)
    examples: int = option(10, "examples of a node", whole)
    steps: int = option(20, "gradients of each node", whole)

    def run(self, communicator: Communicator) -> list[EventsRow]:
        """Measure on the first rank; collective."""
        return communicator.from_root(self._measure)

    def columns(self, rows: Sequence[EventsRow]) -> Mapping[str, list[str]]:
        """The table: a line for each method and number of nodes."""
        return {
            "algorithm": [row.algorithm for row in rows],
            "nodes": [f"{row.nodes:,}" for row in rows],
            "dimension": [f"{row.dimension:,}" for row in rows],
            "gradients": [f"{row.gradients:,}" for row in rows],
            "messages": [f"{row.messages:,}" for row in rows],
            "CPU time": [table.duration(row.seconds) for row in rows],
            "events/s": [f"{row.events_per_second:,.0f}" for row in rows],
            "/ limit": [f"{table.number(row.ratio)} ({table.duration(row.limit_seconds)})" for row in rows],
        }

    def _measure(self) -> list[EventsRow]:
        with one_thread():
            return [self._row(name, n) for name in self.algorithm for n in self.nodes]

    def _row(self, name: str, n: int) -> EventsRow:
        graph, random = random_regular(n, DEGREE, seed=0), generator(0, "bench")
        features, labels = (
            random.standard_normal((n, self.examples, self.dimension)),
            random.integers(2, size=(n, self.examples)),
        )
        workload = LogisticRegression(features, labels).shard(n, seed=0)
        x = workload.initial().repeat(n, 1)

        def gradients() -> NodeGradients:
            return NodeGradients(Minibatch(batch=1), workload, x)

        def driver() -> EventDriver:
            programs = METHODS[name].programs(graph, range(n), x)
            return EventDriver(programs, graph, gradients(), CLOCK, steps=self.steps)

        gradients()(range(n), x, [0] * n)  # compiles
        seconds, limits = [], []
        for _ in range(self.repeats):
            run = driver()
            seconds.append(_cpu_seconds(run.advance))
            kinds = run.schedule.kinds
            limits.append(_cpu_seconds(partial(_limit, gradients(), x, self.steps, len(kinds))))
        done, heard = (int(np.count_nonzero(kinds == kind)) for kind in (GRADIENT, MESSAGE))
        return EventsRow(name, n, self.dimension, done, heard, statistics.median(seconds), statistics.median(limits))


def _limit(gradients: NodeGradients, x: torch.Tensor, steps: int, events: int) -> None:
    """So many gradients of all nodes, and so many events, of which one for each node is always to come."""
    n = len(x)
    for step in range(steps):
        gradients(range(n), x, [step] * n)
    row = x[:1]
    queue = [(node, node, row) for node in range(n)]
    heapify(queue)
    for _ in range(events):
        due, node, row = queue[0]
        heapreplace(queue, (due + n, node, row.clone()))


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
