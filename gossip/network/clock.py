"""Clocks: the time that a run takes, and the time that it would take on other machines and links."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.network import WeightedEdges
from algorithms.randomness import generator
from gossip.network.simulation.description import Level, Nanoseconds, SimulatedNetwork, in_nanoseconds
from topologies import Links

Seconds = NDArray[np.float64]


class WallClock:
    """Seconds since it was made, without those in which it was paused.

    Attributes:
        seconds: So many.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._began = time.perf_counter() - seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No time passes meanwhile."""
        seconds = self.seconds
        try:
            yield
        finally:
            self.seconds = seconds


@dataclass(frozen=True)
class SimulatedClock:
    """How fast nodes and links are in a simulation, which changes nothing but the time that is told.

    The gradient of a step takes a node `compute_seconds` + E, where E is exponentially distributed with the mean
    `exponential_seconds` and independent for each node and step (the model of Wang & Joshi, arXiv 1810.08313); of the
    nodes in `slow_nodes` it takes `slowdown` times as long. All other computation takes no time. Nodes that are idle in
    a step, as clients that do not take part in a round, compute nothing.

    Messages travel as `topologies.Links` says, with the bytes that are really sent. Every node has a time of its own:

    * in an exchange of rows, a node waits for those of its in-neighbours;
    * a sum or mean over all nodes is an all-reduce, which begins when the last node comes to it; all end together;
    * so is bringing rows of some nodes to all, as it is an all-gather; a sum or mean of messages is one too;
    * what is posted travels from then on, and is waited for where it is used: meanwhile a node can compute;
    * what a node sends waits for its port until what it sent before has left.

    Args:
        compute_seconds: Seconds, >= 0, that the gradient of a step takes at least.
        latency: Seconds, >= 0, until a message of no length arrives.
        bandwidth: Bytes per second, > 0, of each node in each direction.
        exponential_seconds: Mean of what the gradient of a step takes beyond that, >= 0.
        slow_nodes: The stragglers.
        slowdown: How many times as long their gradients take, >= 1.
    """

    compute_seconds: float
    latency: float
    bandwidth: float
    exponential_seconds: float = 0.0
    slow_nodes: tuple[int, ...] = ()
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        for name in ("compute_seconds", "exponential_seconds", "latency"):
            check(0 <= getattr(self, name) < math.inf, self, name, ">= 0")
        check(self.bandwidth > 0, self, "bandwidth", "> 0")
        check(1 <= self.slowdown < math.inf, self, "slowdown", ">= 1")
        check(all(node >= 0 for node in self.slow_nodes), self, "slow_nodes", "numbers of nodes")

    def check_nodes(self, n: int) -> None:
        """Raise ValueError if a straggler is not among the n nodes with data."""
        check(all(node < n for node in self.slow_nodes), self, "slow_nodes", f"among the nodes with data, 0 to {n - 1}")

    def gradient_seconds(self, n: int, seed: int, step: int) -> Seconds:
        """(n,): how long the gradient of this step takes each of n nodes with data."""
        pace, needed = np.ones(n), np.full(n, self.compute_seconds)
        pace[list(self.slow_nodes)] = self.slowdown
        if self.exponential_seconds:
            random = generator(seed, "compute seconds", step)
            needed += self.exponential_seconds * random.exponential(size=n)
        return pace * needed

    def nanoseconds(self, n: int, seed: int, step: int) -> Nanoseconds:
        """(n,): the same in whole nanoseconds."""
        return in_nanoseconds(self.gradient_seconds(n, seed, step))

    def one_level(self) -> SimulatedNetwork:
        """The links as those of a network, on which messages that come to a node together wait for each other."""
        return SimulatedNetwork((Level(self.latency, self.bandwidth),))


class NodeTimes:
    """The simulated time of each node. Every rank has those of all nodes.

    Args:
        clock: How fast nodes and links are.
        n: Number of nodes,
        auxiliary: of which so many, the last ones, have no data and compute nothing.
        seed: Seed of the computing times.

    Attributes:
        now: (n,) seconds.
        free: (n,) when each node's port has sent all that it has to.
    """

    def __init__(self, clock: SimulatedClock, n: int, auxiliary: int, seed: int) -> None:
        self._clock = clock
        self._links = Links(clock.latency, clock.bandwidth)
        self._seed = seed
        self._with_data = n - auxiliary
        self.now = np.zeros(n)
        self.free = np.zeros(n)

    @property
    def seconds(self) -> float:
        """The time of the node that is last."""
        return float(self.now.max())

    def compute(self, step: int, busy: NDArray[np.int64] | int = 1) -> None:
        """All nodes with data that are busy, 1 and not 0, compute the gradient of this step."""
        seconds = np.zeros(len(self.now))
        seconds[: self._with_data] = self._clock.gradient_seconds(self._with_data, self._seed, step)
        self.now = self.now + busy * seconds

    def send(self, topology: WeightedEdges, row_bytes: NDArray[np.int64] | int) -> Seconds:
        """Begin an exchange over the edges of a matrix; (n,), when each node has what it needs of it."""
        starts = np.maximum(self.now, self.free)
        self.free = starts + self._links.sending(topology, row_bytes)
        return self._links.exchange(topology, row_bytes, starts)

    def reduce(self, row_bytes: NDArray[np.int64] | int) -> Seconds:
        """Begin a sum over all nodes; (n,), when each node has it."""
        assert isinstance(row_bytes, int)  # the same for all nodes
        n, start = len(self.now), np.maximum(self.now, self.free).max()
        self.free = np.full(n, start + self._links.reducing(n, row_bytes))
        return np.full(n, start + self._links.all_reduce(n, row_bytes))

    def gather(self, row_bytes: NDArray[np.int64] | int, nodes: Sequence[int]) -> Seconds:
        """Begin to bring the rows of some nodes to all; (n,), when each node has them."""
        n, start = len(self.now), np.maximum(self.now, self.free).max()
        size = int(np.broadcast_to(row_bytes, n)[np.unique(np.asarray(nodes, np.int64))].sum())
        self.free = np.full(n, start + self._links.gathering(n, size))
        return np.full(n, start + self._links.all_gather(n, size))

    def wait(self, there: Seconds) -> None:
        """Each node goes on when it has what it waits for."""
        self.now = np.maximum(self.now, there)
