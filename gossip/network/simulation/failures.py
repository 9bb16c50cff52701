"""When links of a simulated network are down, and what that does to what they carry."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.network.simulation.compute import SECOND

NEVER = 2**63 - 1  # nanoseconds


@dataclass(frozen=True)
class Outage:
    """A cable that is down from some time to another, in both directions.

    Args:
        start: Seconds, >= 0.
        end: Seconds, > start, when it is up again.
        link: The two vertices that it links, on a network that is a graph.
        level: Which level of links, 0 for those of the nodes, on a network of levels,
        member: and which of its members, from 0.
    """

    start: float
    end: float
    link: tuple[str, str] | None = None
    level: int | None = None
    member: int | None = None

    def __post_init__(self) -> None:
        if self.link is not None:  # as YAML has it: a list, maybe of numbers
            object.__setattr__(self, "link", tuple(map(str, self.link)))
            check(len(self.link) == 2, self, "link", "two vertices of the graph")
        check(0 <= self.start < math.inf, self, "start", ">= 0, in seconds")
        check(self.start < self.end < math.inf, self, "end", "after its start, in seconds")
        check((self.level is None) == (self.member is None), self, "member", "given together with level")
        check((self.link is None) != (self.level is None), self, "link", "given, or else level and member")


@dataclass(frozen=True)
class Failures:
    """Which cables of a network are down and when.

    A cable that is down carries nothing in either direction. What comes to it waits until it is up; what it carries
    when it fails stops there and goes on where it stopped. Nothing is lost, and nothing takes another way. What has
    left it arrives.

    Args:
        outages: Those that are known.
        rate: Of each cable, >= 0: failures in a second in which it is up. How long it stays up is exponential, and so
            is how long it stays down, by the seed of the run, independent of everything else.
        repair: Mean seconds, > 0, that it then stays down.
    """

    outages: Sequence[Outage] = ()
    rate: float = 0.0
    repair: float = 0.0

    def __post_init__(self) -> None:
        check(0 <= self.rate < math.inf, self, "rate", ">= 0, failures per second")
        check(0 <= self.repair < math.inf, self, "repair", ">= 0, in seconds")
        check((self.rate > 0) == (self.repair > 0), self, "repair", "> 0 with a rate of failures, and 0 without one")


class Down(NamedTuple):
    """From when until when something is down, in nanoseconds."""

    start: int
    end: int


class Cable:
    """When a cable is down; the same wherever and in whatever order it is asked.

    Args:
        known: The outages that are known.
        failures: The rate of others.
        seed: Of these,
        number: of this cable.
    """

    def __init__(self, known: Sequence[Outage], failures: Failures, seed: int, number: int) -> None:
        self._known = sorted(Down(_rounded(each.start), _rounded(each.end)) for each in known)
        self._failures, self._seed, self._number = failures, seed, number
        self._drawn: list[Down] = []

    def carried(self, start: int, needed: int) -> tuple[int, int]:
        """When it begins and when it ends to carry what comes to it at `start` and takes it so many nanoseconds."""
        time, began = start, -1
        while True:
            down = self._next(time)
            if down.start <= time:
                time = down.end
                continue
            began = time if began < 0 else began
            if needed <= down.start - time:
                return began, time + needed
            needed -= down.start - time
            time = down.start

    def _next(self, time: int) -> Down:
        """What is down now, or will be next."""
        later = [down for down in self._known if down.end > time]
        if self._failures.rate:
            while not self._drawn or self._drawn[-1].end <= time:
                self._draw()
            later.append(self._drawn[bisect_right(self._drawn, time, key=lambda down: down.end)])
        return min(later, default=Down(NEVER, NEVER))

    def _draw(self) -> None:
        random = generator(self._seed, "link failures", self._number, len(self._drawn))
        up, down = random.exponential(size=2)
        start = (self._drawn[-1].end if self._drawn else 0) + _rounded(up / self._failures.rate)
        self._drawn.append(Down(start, start + max(1, _rounded(down * self._failures.repair))))


def _rounded(seconds: float) -> int:
    return round(seconds * SECOND)
