"""When the links of a simulated network are busy: the one model of what messages do to each other, in any driver."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gossip.network.simulation.description import SECOND, SimulatedNetwork, in_nanoseconds
from gossip.network.simulation.failures import Cable, Outage
from gossip.network.simulation.wiring import Way, Wiring, wired


class LinkTimes:
    """The links of a network, each of which carries one message after the other, in the order in which they come.

    Where the network says how many cores hosts have, these are shared by gradients and by messages: whatever comes to a
    host is done by the core that is free first. A host has the number of a link, behind the links.

    Args:
        network: How fast links and hosts are, and when links are down.
        n: Number of nodes.
        seed: Of failures.

    Attributes:
        wiring: The links alone.
        bandwidths: (links,) bytes per second.
        overheads: (links,) nanoseconds for each message, beyond its bytes.
        cables: That of each link that may be down.
        free: (links + cores,) when each of them has done all that it was given, in nanoseconds.
    """

    def __init__(self, network: SimulatedNetwork, n: int, seed: int) -> None:
        self.wiring, self._host = wired(network, n), network.host
        self.bandwidths, self.overheads = self.wiring.bandwidths, self.wiring.overheads
        self.cables = _cables(network, self.wiring, seed)
        self._links = len(self.bandwidths)
        bandwidths, overheads, cores = self.bandwidths, self.overheads, 0
        if self._host is not None:
            hosts, cores = self._host.count(n), self._host.cores * self._host.count(n)
            handled = 1 / self._host.byte if self._host.byte else np.inf
            bandwidths = np.append(bandwidths, np.full(hosts, handled))
            overheads = np.append(overheads, in_nanoseconds(np.full(hosts, self._host.message)))
        self.free = [0] * (self._links + cores)
        # As Python's numbers: loops are over messages.
        self._bandwidths: list[float] = bandwidths.tolist()
        self._slowness: list[float] = (SECOND / bandwidths).tolist()
        self._overheads: list[int] = overheads.tolist()

    def way(self, sender: int, listener: int) -> Way:
        """See `Wiring`: the links, between the hosts that handle the message, if that takes time."""
        links, latency = self.wiring.way(sender, listener)
        host = self._host
        if host is None or not (host.message or host.byte):
            return links, latency
        return [self._links + host.of_node(sender), *links, self._links + host.of_node(listener)], latency

    def compute(self, node: int, time: int, needed: int) -> int:
        """When a node has computed what takes it so long and what it begins at this time, if its host has a core."""
        if self._host is None:
            return time + needed
        return self.carry(self._links + self._host.of_node(node), time, needed)[1]

    def rounded(self, link: int, size: int) -> int:
        """For how many nanoseconds a message of so many bytes occupies a link that is up, by one division."""
        return self._overheads[link] + round(size * SECOND / self._bandwidths[link])

    def take(self, link: int, time: int, size: int) -> tuple[int, int]:
        """Give a link a message of so many bytes, which comes to it at this time; see `carry`."""
        needed = self._overheads[link] + round(size * self._slowness[link])
        if self.cables or link >= self._links:
            return self.carry(link, time, needed)
        free = self.free[link]
        began = time if time > free else free
        self.free[link] = ended = began + needed
        return began, ended

    def carry(self, link: int, time: int, needed: int) -> tuple[int, int]:
        """Give a link or host what comes to it at this time and takes it so long; when it begins and ends to do it."""
        if link < self._links:
            began, ended = self.passage(link, max(time, self.free[link]), needed)
        else:
            assert self._host is not None
            first = self._links + (link - self._links) * self._host.cores
            link = min(range(first, first + self._host.cores), key=self.free.__getitem__)
            began = max(time, self.free[link])
            ended = began + needed
        self.free[link] = ended
        return began, ended

    def passage(self, link: int, start: int, needed: int) -> tuple[int, int]:
        """When a link that has nothing else to do begins and ends to carry what is given to it at `start`."""
        cable = self.cables.get(link)
        return (start, start + needed) if cable is None else cable.carried(start, needed)


def check_links(network: SimulatedNetwork, n: int) -> None:
    """Refuse a network that has no such links, or not so many nodes.

    Raises:
        ValueError: It has not.
    """
    _cables(network, wired(network, n), seed=0)


def _cables(network: SimulatedNetwork, links: Wiring, seed: int) -> dict[int, Cable]:
    """That of each link that may be down."""
    failures = network.failures
    known: dict[int, list[Outage]] = {}
    for outage in failures.outages:
        known.setdefault(links.cable(outage), []).append(outage)
    cables: Sequence[int] = range(len(links.cables)) if failures.rate else sorted(known)
    made = {number: Cable(known.get(number, []), failures, seed, number) for number in cables}
    return {link: cable for number, cable in made.items() for link in links.cables[number]}
