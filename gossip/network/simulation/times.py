"""The time of each node on a simulated network, in whole nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from gossip.network.plans.tree import NodeTree, TreePlan
from gossip.network.simulation.description import SECOND, Nanoseconds, SimulatedNetwork, in_nanoseconds
from gossip.network.simulation.link_times import LinkTimes
from topologies.links import Edges

TOPOLOGIES = 64  # whose ways are kept; random schedules may have no end


@dataclass(frozen=True)
class Ways:
    """Which links the messages of a round take."""

    senders: list[int]
    listeners: list[int]
    turns: list[int]
    """In which order the messages of all nodes are handed over: first the first one of each."""

    links: list[list[int]]
    """Of each message, from the sender's to the listener's, with the hosts that handle it as the first and last ones,
    if that takes time."""

    latencies: list[int]
    """Of each message, in nanoseconds."""


class NetworkTimes:
    """The simulated time of each node. Every rank has those of all nodes.

    A message of b bytes takes every link on its way for overhead + b / bandwidth, one message after the other in the
    order in which they come to the link. It is passed on while it comes (cut-through), and is there when it has left
    the slowest link, and the latency of its way has passed: that of the level at which sender and listener meet, or the
    sum over the links of a graph. A node hands its messages to its links together, those to the next nodes by number
    first: so on circulant graphs no two come to a down-link at once. All times are whole nanoseconds, and ties go by
    these turns and then by the sender's number, so that they are the same wherever they are computed. What a link that
    is down does to messages, `Failures` says, and what the cores of hosts do, `Host`.

    A sum over all nodes is, where the network says "ring", an all-reduce along a ring of all nodes in the order of
    their numbers, which begins when the last node comes to it: 2 (n - 1) rounds in which each sends an n-th of the
    bytes to the next; an all-gather takes n - 1 such rounds. A round takes the largest latency on the ring, and the
    time in which the busiest link carries what goes over it. Where it says "tree", whole vectors go up and down the
    binary tree along which ranks really sum, see `TreePlan`, and every node has its own time in it.

    Args:
        network: How fast nodes and links are.
        n: Number of nodes,
        auxiliary: of which so many, the last ones, have no data and compute nothing.
        seed: Seed of the computing times.

    Attributes:
        now: (n,) nanoseconds.
    """

    def __init__(self, network: SimulatedNetwork, n: int, auxiliary: int, seed: int) -> None:
        self._network = network
        self._seed = seed
        self._with_data = n - auxiliary
        self._links = LinkTimes(network, n, seed)
        self._ways = lru_cache(maxsize=TOPOLOGIES)(self._find_ways)
        self.now: Nanoseconds = np.zeros(n, np.int64)

    @property
    def free(self) -> Nanoseconds:
        """(links + cores,) when each link has carried all that it was given, and each core of a host, if the network
        says how many there are, has done it; may be set."""
        return np.array(self._links.free, np.int64)

    @free.setter
    def free(self, free: Nanoseconds) -> None:
        self._links.free = free.tolist()

    @property
    def seconds(self) -> float:
        """The time of the node that is last."""
        return float(self.now.max()) / SECOND

    def compute(self, step: int, busy: NDArray[np.int64] | int = 1) -> None:
        """All nodes with data that are busy, 1 and not 0, compute the gradient of this step."""
        needed = np.zeros(len(self.now), np.int64)
        needed[: self._with_data] = self._network.compute.nanoseconds(self._with_data, self._seed, step)
        if self._network.host is None:
            self.now = self.now + busy * needed
            return
        self.now, needed = self.now.copy(), busy * needed
        for node in np.argsort(self.now, kind="stable").tolist():
            if needed[node]:
                self.now[node] = self._links.compute(node, int(self.now[node]), int(needed[node]))

    def send(self, topology: Edges, row_bytes: NDArray[np.int64] | int) -> Nanoseconds:
        """Begin an exchange over the edges of a matrix; (n,), when each node has what it needs of it."""
        ways, n = self._ways(topology), len(self.now)
        sizes = np.broadcast_to(np.asarray(row_bytes, np.int64), n).tolist()
        there, ends, now = [0] * n, [0] * len(ways.senders), self.now.tolist()
        queue = [
            (now[sender], turn, k, 0) for k, (sender, turn) in enumerate(zip(ways.senders, ways.turns, strict=True))
        ]
        heapify(queue)
        while queue:
            time, turn, message, hop = heappop(queue)
            links = ways.links[message]
            link = links[hop]
            began, ended = self._links.take(link, time, sizes[ways.senders[message]])
            ends[message] = max(ends[message], ended)
            if hop + 1 < len(links):
                heappush(queue, (began, turn, message, hop + 1))
                continue
            listener = ways.listeners[message]
            there[listener] = max(there[listener], ends[message] + ways.latencies[message])
        return np.array(there, np.int64)

    def reduce(self, row_bytes: NDArray[np.int64] | int) -> Nanoseconds:
        """Begin a sum over all nodes; (n,), when each node has it."""
        assert isinstance(row_bytes, int)  # the same for all nodes
        n = len(self.now)
        if self._network.sums == "tree":
            return self._along_tree(np.full(n, row_bytes), np.full(n, row_bytes))
        return self._around(2 * (n - 1), row_bytes)

    def gather(self, row_bytes: NDArray[np.int64] | int, nodes: Sequence[int]) -> Nanoseconds:
        """Begin to bring the rows of some nodes to all; (n,), when each node has them."""
        n = len(self.now)
        wanted = np.zeros(n, np.int64)
        wanted[np.unique(np.asarray(nodes, np.int64))] = 1
        sizes = wanted * np.broadcast_to(row_bytes, n)
        if self._network.sums == "tree":
            before, stops = np.concatenate([[0], np.cumsum(sizes)]), np.concatenate([[n], NodeTree.build(n).stop])
            up = before[stops] - before[:-1]
            return self._along_tree(up, sizes.sum() - up)
        return self._around(n - 1, int(sizes.sum()))

    def wait(self, there: Nanoseconds) -> None:
        """Each node goes on when it has what it waits for."""
        self.now = np.maximum(self.now, there)

    def _around(self, rounds: int, row_bytes: int) -> Nanoseconds:
        """So many rounds along a ring with an n-th of these bytes, from when the last node, and the last link, can."""
        n = len(self.now)
        start = max(int(self.now.max()), int(self.free.max()))
        if n == 1:
            return np.full(n, start)
        ways = [self._links.wiring.way(node, (node + 1) % n) for node in range(n)]
        load = np.bincount([link for links, _ in ways for link in links], minlength=len(self._links.bandwidths))
        needed = load * self._links.overheads + in_nanoseconds(load * row_bytes / n / self._links.bandwidths)
        carrying = max(int(needed.max()), self._handling(row_bytes / n))
        latency = max(latency for _, latency in ways)
        late = 0  # since links were down
        for each in range(rounds) if self._links.cables else ():
            time = start + each * (carrying + latency) + late
            ends = [self._links.passage(link, time, int(needed[link]))[1] for link in np.flatnonzero(load).tolist()]
            late += max(0, max(ends) - time - carrying)
        self.free = np.full(len(self.free), start + rounds * carrying + late)
        return np.full(n, start + rounds * (carrying + latency) + late)

    def _along_tree(self, up: NDArray[np.int64], down: NDArray[np.int64]) -> Nanoseconds:
        """(n,): when each node has all, if each but 0 sends so many bytes to its parent, and hears so many from it."""
        plan = _tree(len(self.now))
        there = self.now.tolist()
        for join in plan.joins:
            arrives = self._carry(join.right, join.left, int(up[join.right]), there[join.right])
            there[join.left] = max(there[join.left], arrives)
        for source, target in plan.shares:
            there[target] = self._carry(source, target, int(down[target]), there[source])
        return np.array(there, np.int64)

    def _carry(self, sender: int, listener: int, size: int, time: int) -> int:
        """Send one message, after all that was sent before; when it is there."""
        links, latency = self._links.way(sender, listener)
        end = time
        for link in links:
            time, ended = self._links.carry(link, time, self._links.rounded(link, size))
            end = max(end, ended)
        return end + latency

    def _handling(self, size: float) -> int:
        """How long the cores take where each node sends and hears a message of so many bytes, all at once."""
        host, n = self._network.host, len(self.now)
        if host is None:
            return 0
        each = in_nanoseconds(host.message + host.byte * size)
        return int(-(-2 * min(n, host.nodes or n) // host.cores) * each)

    def _find_ways(self, topology: Edges) -> Ways:
        indptr, senders, _ = topology.arrays
        n = len(self.now)
        listeners = np.repeat(np.arange(n), np.diff(indptr))
        others = senders != listeners
        senders, listeners = senders[others], listeners[others]
        order = np.lexsort(((listeners - senders) % n, senders))
        senders, listeners = senders[order], listeners[order]
        place = np.arange(len(senders)) - np.searchsorted(senders, senders)  # among its sender's
        ways = [self._links.way(i, j) for i, j in zip(senders.tolist(), listeners.tolist(), strict=True)]
        turns = (place * n + senders).tolist()
        links, latencies = [list(links) for links, _ in ways], [latency for _, latency in ways]
        return Ways(senders.tolist(), listeners.tolist(), turns, links, latencies)


@lru_cache(maxsize=8)
def _tree(n: int) -> TreePlan:
    """That of a rank for each node."""
    return TreePlan.build([[node] for node in range(n)])
