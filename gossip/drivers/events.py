"""Asynchronous node programs in one process, on a simulated clock: thousands of nodes, one event after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import heappop, heappush
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Message, Oracle, Sample, ShardedWorkload, Traffic
from algorithms.program import NodeProgram
from algorithms.randomness import Draw
from gossip.drivers.gradients import Gradients
from gossip.network.clock import SimulatedClock
from topologies import Topology

SECOND = 10**9  # nanoseconds
DRAWN = 1024  # steps of which the computing times of all nodes are kept

Kind = Literal["start", "gradient", "message", "timer"]
Gradient = Callable[[int, Tensor, int], Sample]


class Event(NamedTuple):
    """Something that happened to a node."""

    time: int
    """When, in nanoseconds since the start."""
    sequence: int
    """In which order it was caused; of what happens at the same time the first goes first."""
    kind: Kind
    """What."""
    node: int
    """To whom."""
    sender: int
    """Who sent the message; the node itself if it is none."""


class EventDriver:
    """Runs one program per node on simulated nodes and links, which decide the order of what happens.

    A gradient takes a node as long as a step takes it on the same clock in lockstep. What a node sends waits for its
    port until what it sent before has left, and arrives after latency + bytes / bandwidth; what arrives at the same
    time does not wait for each other. Times are integers, and ties go in the order of their causes, so that a run is
    the same each time. It is not a part of `gossip.run` and of the commands.

    Args:
        programs: Of the nodes, in their order.
        topology: Node j may send to node i where w_ij is not 0.
        gradient: Gives the sample, (1, d) and (1,), of a node at a point (1, d) for its t-th gradient, t = 0, 1, ...
        clock: How fast nodes and links are.
        seed: Of computing times, and of what programs draw.

    Attributes:
        schedule: What has happened so far, in its order.
        traffic: What the nodes have sent so far.
    """

    def __init__(
        self,
        programs: Sequence[NodeProgram],
        topology: Topology,
        gradient: Gradient,
        clock: SimulatedClock,
        *,
        seed: int = 0,
    ) -> None:
        if len(programs) != topology.n:
            raise ValueError(f"{len(programs)} programs for {topology.n} nodes: every node needs one")
        clock.check_nodes(topology.n)
        n = topology.n
        self.schedule: list[Event] = []
        self.traffic = Traffic(torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.int64))
        self._gradient, self._clock, self._seed = gradient, clock, seed
        self._programs = list(programs)
        self._nodes = [_Node(self, node, listeners) for node, listeners in enumerate(_listeners(topology))]
        self._queue: list[tuple[int, int, _Pending]] = []
        self._caused = 0
        self._now = 0
        self._draw_seconds = lru_cache(maxsize=DRAWN)(lambda step: clock.gradient_seconds(n, seed, step))
        for node in range(n):
            self.cause(0, _Pending("start", node, node))

    @property
    def seconds(self) -> float:
        """The simulated time of the last event."""
        return self._now / SECOND

    def events(self, until: float | None = None) -> Iterator[Event]:
        """Let happen what is due, one event after the other, each of which is given when it has happened.

        Args:
            until: Stop before the first event after so many seconds; by default when nothing is left to happen.
        """
        end = None if until is None else nanoseconds(until)
        while self._queue and (end is None or self._queue[0][0] <= end):
            time, sequence, pending = heappop(self._queue)
            node = self._nodes[pending.node]
            if pending.kind in ("gradient", "timer") and node.stopped:
                continue
            self._now = time
            event = Event(time, sequence, pending.kind, pending.node, pending.sender)
            self.schedule.append(event)
            self._happen(pending, node)
            yield event

    def models(self) -> Tensor:
        """(n, d): what the nodes output."""
        return torch.cat([program.model for program in self._programs])

    def cause(self, delay: int, pending: _Pending) -> None:
        """Let something happen after so many nanoseconds."""
        heappush(self._queue, (self._now + delay, self._caused, pending))
        self._caused += 1

    def _happen(self, pending: _Pending, node: _Node) -> None:
        program = self._programs[node.node]
        node.happened += 1
        match pending.kind:
            case "start":
                program.on_start(node)
            case "gradient":
                assert pending.value is not None
                node.computing = False
                program.on_gradient(self._gradient(node.node, pending.value, node.gradients - 1), node)
            case "message":
                assert pending.value is not None
                program.on_message(pending.sender, pending.value, pending.label, node)
            case "timer":
                program.on_timer(node)

    def compute(self, node: _Node, x: Tensor) -> None:
        """Let a node compute its next gradient."""
        delay = nanoseconds(float(self._draw_seconds(node.gradients)[node.node]))
        self.cause(delay, _Pending("gradient", node.node, node.node, x))
        node.gradients += 1

    def carry(self, node: _Node, to: int, value: Tensor | Message, label: str) -> None:
        """Let what a node sends travel."""
        size = int(value.nbytes.sum()) if isinstance(value, Message) else value.nbytes
        self.traffic.bytes[node.node] += size
        self.traffic.messages[node.node] += 1
        sending = nanoseconds(size / self._clock.bandwidth)
        node.free = max(node.free, self._now) + sending
        row = value.dense() if isinstance(value, Message) else value.clone()
        arrives = node.free + nanoseconds(self._clock.latency)
        self.cause(arrives - self._now, _Pending("message", to, node.node, row, label))

    def draw_of(self, node: _Node, purpose: str) -> Draw:
        """What a node draws in the event that is happening to it."""
        return Draw(self._seed, purpose, [node.node], node.happened)


@dataclass(eq=False)
class _Pending:
    """What is going to happen."""

    kind: Kind
    node: int
    sender: int
    value: Tensor | None = None  # (1, d): the point of a gradient, or the row of a message
    label: str = ""


@dataclass(eq=False)
class _Node:
    """One node as its program sees it, and what the driver knows of it; implements `NodeContext`."""

    driver: EventDriver
    node: int
    neighbors: tuple[int, ...]
    free: int = 0  # when its port has sent all that it has to
    gradients: int = 0  # asked for so far
    happened: int = 0  # events so far
    computing: bool = False
    stopped: bool = False
    _reach: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self._reach = frozenset(self.neighbors)

    def ask_gradient(self, x: Tensor) -> None:
        if self.computing or self.stopped:
            why = "has stopped" if self.stopped else "is still computing a gradient"
            raise RuntimeError(f"node {self.node} {why}, so it cannot compute another one")
        self.computing = True
        self.driver.compute(self, x.clone())

    def send(self, to: int, value: Tensor | Message, kind: str = "") -> None:
        if to not in self._reach:
            raise ValueError(f"node {self.node} has no link to node {to}")
        self.driver.carry(self, to, value, kind)

    def set_timer(self, seconds: float) -> None:
        if not self.stopped:
            self.driver.cause(nanoseconds(seconds), _Pending("timer", self.node, self.node))

    def stop(self) -> None:
        self.stopped = True

    def draw(self, purpose: str) -> Draw:
        return self.driver.draw_of(self, purpose)


class NodeGradients:
    """Gradients of single nodes by an oracle, each of which counts its own.

    Args:
        oracle: Estimates them.
        workload: From this, sharded over all nodes.
        x: (n, d), where the nodes start.
        seed: Of the oracle's draws.
    """

    def __init__(self, oracle: Oracle, workload: ShardedWorkload, x: Tensor, seed: int = 0) -> None:
        self._nodes = [Gradients(oracle, workload, [node], seed) for node in range(len(x))]
        self._states = [each.start(row[None]) for each, row in zip(self._nodes, x, strict=True)]

    def __call__(self, node: int, x: Tensor, step: int) -> Sample:
        return self._nodes[node].sample(self._states[node], x, step)


def nanoseconds(seconds: float) -> int:
    """The nearest whole number of them."""
    return round(seconds * SECOND)


def _listeners(topology: Topology) -> list[tuple[int, ...]]:
    """Of each node, to whom it may send, ascending."""
    indptr, senders, _ = topology.arrays
    receivers: NDArray[np.int64] = np.repeat(np.arange(topology.n), np.diff(indptr))
    others = senders != receivers
    senders, receivers = senders[others], receivers[others]
    order = np.lexsort((receivers, senders))
    ends = np.cumsum(np.bincount(senders, minlength=topology.n))
    return [tuple(part.tolist()) for part in np.split(receivers[order], ends[:-1])]
