"""When the links of a simulated network are busy: the one model of what messages do to each other, in any driver."""

from __future__ import annotations

from collections.abc import Sequence

from gossip.network.simulation.description import SECOND, SimulatedNetwork
from gossip.network.simulation.failures import Cable, Outage
from gossip.network.simulation.wiring import Way, Wiring, wired


class LinkTimes:
    """The links of a network, each of which carries one message after the other, in the order in which they come.

    Args:
        network: How fast links are, and when they are down.
        n: Number of nodes.
        seed: Of failures.

    Attributes:
        bandwidths: (links,) bytes per second.
        overheads: (links,) nanoseconds for each message, beyond its bytes.
        cables: That of each link that may be down.
        free: (links,) when each of them has carried all that it was given, in nanoseconds.
    """

    def __init__(self, network: SimulatedNetwork, n: int, seed: int) -> None:
        self._wiring = wired(network, n)
        self.bandwidths, self.overheads = self._wiring.bandwidths, self._wiring.overheads
        self.cables = _cables(network, self._wiring, seed)
        self.free = [0] * len(self.bandwidths)
        # As Python's numbers: loops are over messages.
        self._slowness: list[float] = (SECOND / self.bandwidths).tolist()
        self._overheads: list[int] = self.overheads.tolist()

    def way(self, sender: int, listener: int) -> Way:
        """See `Wiring`."""
        return self._wiring.way(sender, listener)

    def take(self, link: int, time: int, size: int) -> tuple[int, int]:
        """Give a link a message of so many bytes, which comes to it at this time; see `carry`."""
        needed = self._overheads[link] + round(size * self._slowness[link])
        free = self.free[link]
        start = time if time > free else free
        if self.cables:
            start, ended = self.passage(link, start, needed)
        else:
            ended = start + needed
        self.free[link] = ended
        return start, ended

    def carry(self, link: int, time: int, needed: int) -> tuple[int, int]:
        """Give a link what comes to it at this time and needs it for so long; when it begins and ends to carry that."""
        began, ended = self.passage(link, max(time, self.free[link]), needed)
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
