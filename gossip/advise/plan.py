"""What a method does in the network, put down once, and how long that takes on any simulated network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms import Algorithm, Sample
from gossip.network import Communicator, SimulatedNetwork, connect
from gossip.network.clocked import ClockedNetwork
from gossip.network.network import Network
from gossip.network.simulation.times import NetworkTimes
from topologies import Schedule
from topologies.links import Edges

Event = Callable[[NetworkTimes, dict[int, Any], "Sizes"], None]
"""Moves the times on, given when what was sent before is there, by the number of the event that sent it."""

ENTRIES = 16  # of the vectors that stand for the models while a plan is made
STEPS, ROUNDS = 4, 2  # that are measured, at least
UNEVEN_STEPS = 48  # that are, where computing times differ, and nodes wait for others that have waited
ENDLESS = 16  # rounds of a schedule that never repeats


@dataclass(frozen=True)
class Sizes:
    """Bytes of what a method sends."""

    dense: int
    """Of a model."""

    message: int
    """Of what the compressor makes of one; the same as `dense` where there is none."""


@dataclass(frozen=True)
class Plan:
    """What happens in the network in some steps of a method."""

    nodes: int
    events: Sequence[Event]
    marks: Sequence[int]
    """How many events there are up to the end of each step."""

    rows: float
    """Dense rows that a node sends in a step, on average; sums as along a ring, 2 (n - 1) / n rows."""

    messages: float
    """Compressed ones."""

    def bytes(self, sizes: Sizes) -> float:
        """What a node sends in a step, on average."""
        return self.rows * sizes.dense + self.messages * sizes.message

    def seconds(self, network: SimulatedNetwork, sizes: Sizes) -> float:
        """Of a step, on this network, after as many steps as are measured."""
        times = NetworkTimes(network, self.nodes, 0, seed=0)
        there: dict[int, Any] = {}
        half = len(self.marks) // 2
        for event in self.events[: self.marks[half - 1]]:
            event(times, there, sizes)
        before = times.seconds
        for event in self.events[self.marks[half - 1] :]:
            event(times, there, sizes)
        return (times.seconds - before) / (len(self.marks) - half)


class _Ledger:
    """Stands where a network's times would, and puts down what they are asked for.

    Args:
        n: Number of nodes.
    """

    def __init__(self, n: int) -> None:
        self.now = self.free = np.zeros(n, np.int64)
        self.seconds = 0.0
        self.events: list[Event] = []
        self.sent = {"dense": 0.0, "message": 0.0}

    def compute(self, step: int, busy: NDArray[np.int64] | int = 1) -> None:
        self.events.append(lambda times, there, sizes: times.compute(step, busy))

    def send(self, topology: Edges, row_bytes: NDArray[np.int64] | int) -> int:
        kind, number = _kind(row_bytes), len(self.events)
        indptr, indices, _ = topology.arrays
        listeners = np.repeat(np.arange(topology.n), np.diff(indptr))
        self.sent[kind] += float(np.count_nonzero(indices != listeners)) / topology.n
        self.events.append(
            lambda times, there, sizes: there.update({number: times.send(topology, getattr(sizes, kind))})
        )
        return number

    def reduce(self, row_bytes: NDArray[np.int64] | int) -> int:
        kind, number, n = _kind(row_bytes), len(self.events), len(self.now)
        self.sent[kind] += 2 * (n - 1) / n
        self.events.append(lambda times, there, sizes: there.update({number: times.reduce(getattr(sizes, kind))}))
        return number

    def wait(self, there: int) -> None:
        number = there
        self.events.append(lambda times, there, sizes: times.wait(there.pop(number)))


def _kind(row_bytes: NDArray[np.int64] | int) -> str:
    """Whole numbers are of dense rows, arrays of messages, each of a length of its own."""
    return "dense" if isinstance(row_bytes, int) else "message"


def plan(algorithm: Algorithm[Any], topology: Schedule, *, period: int, uneven: bool) -> Plan:
    """What a method does, by letting it run: with small vectors, on a network that puts down what it is asked for.

    Args:
        algorithm: The method, whose hyper-parameters are numbers.
        topology: Who talks to whom.
        period: Steps from one round to the next.
        uneven: Whether computing times will differ, so that more steps are needed.
    """
    n = topology.n
    cycle = period * (topology.period or ENDLESS)
    needed = max(STEPS, ROUNDS * period, UNEVEN_STEPS if uneven else 0)
    half = cycle * math.ceil(needed / cycle)
    ledger = _Ledger(n)
    network = ClockedNetwork(cast(Network, connect(topology, Communicator())), cast(NetworkTimes, ledger))
    noise = torch.Generator().manual_seed(0)
    marks: list[int] = []
    middle = dict(ledger.sent)
    state = algorithm.start(torch.randn(n, ENTRIES, generator=noise), network)
    network.finish_step()
    for step in range(2 * half):
        algorithm.post(state, network)
        sample = Sample(torch.randn(n, ENTRIES, generator=noise), torch.zeros(n))
        network.finish_gradients(step)
        algorithm.advance(state, sample, network)
        _ = network.seconds  # brings the ledger up to date
        marks.append(len(ledger.events))
        middle = dict(ledger.sent) if step == half - 1 else middle
    rows, messages = ((ledger.sent[kind] - middle[kind]) / half for kind in ("dense", "message"))
    return Plan(n, ledger.events, marks, rows, messages)
