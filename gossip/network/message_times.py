"""How long gradients and single messages take, where every node goes at its own pace."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from gossip.network.clock import SimulatedClock
from gossip.network.simulation.description import SimulatedNetwork
from gossip.network.simulation.link_times import LinkTimes
from gossip.network.simulation.wiring import Way

DRAWN = 1024  # steps of which the computing times of all nodes are kept


class Journey(NamedTuple):
    """A message that has not come to all of its links."""

    time: int
    """When it comes to the next one, in nanoseconds."""
    place: int
    """Which of the links of its way that is, from 0."""
    end: int
    """When those before have carried it."""


START = Journey(0, 0, 0)


class MessageTimes:
    """How long gradients and single messages take on simulated nodes and links, in whole nanoseconds.

    The links are those of `NetworkTimes`, which has the same for all nodes in lockstep: each carries one message after
    the other, in the order in which they come to it, and both the port of the sender and that of the listener are
    links. What hosts have to do their cores share. A gradient takes a node as long as the one of the same number takes
    it in lockstep. Of a `SimulatedClock`, every node has one port of its bandwidth in each direction, and all are
    equally far apart.

    Args:
        clock: How fast nodes and links are.
        n: Number of nodes.
        seed: Of computing times and failures.
        without_data: How many of the nodes, the last ones, compute no gradients.

    Raises:
        ValueError: The clock is not one of so many nodes.
    """

    def __init__(self, clock: SimulatedNetwork | SimulatedClock, n: int, seed: int, without_data: int = 0) -> None:
        computing = n - without_data
        clock.check_nodes(computing)
        self._n = n
        self._links = LinkTimes(clock.one_level() if isinstance(clock, SimulatedClock) else clock, n, seed)
        self._ways: dict[int, Way] = {}
        # The cores of a host handle messages of one pair of nodes side by side.
        self._side_by_side = isinstance(clock, SimulatedNetwork) and clock.host is not None
        self._there: dict[int, int] = {}  # when the last message of each pair arrives
        self._needed = lru_cache(maxsize=DRAWN)(lambda step: clock.nanoseconds(computing, seed, step).tolist())

    def computed(self, node: int, step: int, now: int) -> int:
        """When a node has computed its gradient of this number, from 0, for which it asks now."""
        return self._links.compute(node, now, self._needed(step)[node])

    def travel(self, sender: int, listener: int, size: int, now: int, journey: Journey = START) -> int | Journey:
        """Bring a message of so many bytes as far as it gets now.

        Args:
            journey: How far it has come before.

        Returns:
            When it is there; or the rest of its journey, of which to ask again at its time.
        """
        pair = sender * self._n + listener
        way = self._ways.get(pair)
        if way is None:
            way = self._ways[pair] = self._links.way(sender, listener)
        links, latency = way
        _, place, end = journey
        take, last = self._links.take, len(links) - 1
        while True:
            began, ended = take(links[place], now, size)
            if ended > end:
                end = ended
            if place == last:
                return self._in_order(pair, end + latency) if self._side_by_side else end + latency
            place += 1
            if began > now:
                return Journey(began, place, end)

    def state(self) -> dict[str, Any]:
        """When links are free again and last messages arrive, in numbers and lists of them."""
        return {"free": list(self._links.free), "there": [list(pair) for pair in self._there.items()]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from this state of the same links."""
        if len(state["free"]) != len(self._links.free):
            raise ValueError("it is one of other links")
        self._links.free[:] = state["free"]
        self._there = {pair: time for pair, time in state["there"]}

    def _in_order(self, pair: int, time: int) -> int:
        """When a message of this pair of nodes arrives that would at this time, if it overtook none before it."""
        there = self._there[pair] = max(time, self._there.get(pair, 0))
        return there
