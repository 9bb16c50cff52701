"""What a simulated network is: how fast its nodes and links are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.yaml_files import read_yaml

Nanoseconds = NDArray[np.int64]
Jitter = Literal["none", "exponential", "lognormal", "pareto", "two_state"]

SECOND = 10**9  # nanoseconds
SLOW_STATE = 10.0  # times as long


@dataclass(frozen=True)
class Level:
    """One level of a network: the links by which its members meet, and the way between these.

    A member is a node at the lowest level, a host with its nodes at the next one, a switch with its hosts above, and so
    on. All that a member's nodes send to nodes elsewhere goes through its one up-link, one message after the other, and
    all that they hear through its down-link.

    Args:
        latency: Seconds, >= 0, from one member to another of the same group.
        bandwidth: Bytes per second, > 0, of each member's links.
        members: How many make a group, which is a member of the level above, >= 1; at the uppermost level all do.
        up: Bytes per second of an up-link, if that is another number.
        down: Bytes per second of a down-link, if that is another number.
    """

    latency: float
    bandwidth: float
    members: int | None = None
    up: float | None = None
    down: float | None = None

    def __post_init__(self) -> None:
        check(0 <= self.latency < math.inf, self, "latency", ">= 0, in seconds")
        check(self.bandwidth > 0, self, "bandwidth", "> 0, in bytes per second")
        check(self.members is None or self.members >= 1, self, "members", ">= 1")
        for name in ("up", "down"):
            check(getattr(self, name) is None or getattr(self, name) > 0, self, name, "> 0, in bytes per second")


@dataclass(frozen=True)
class Compute:
    """How long the gradient of a step takes each node.

    With the jitter "none" always `seconds`; "exponential", seconds (1 + spread E) with E exponential of mean 1; with
    "lognormal", seconds exp(spread N) with N standard normal; with "pareto", seconds (1 + P) with P + 1 of Pareto's
    distribution of shape 1 / spread, >= 1; with "two_state", seconds, or in a share `spread` of the steps 10 times as
    long. All independent for each node and step, by the seed of the run.

    Args:
        seconds: >= 0.
        jitter: How it varies.
        spread: How much, >= 0.
        slow: Node -> how many times as long its gradients take, > 0.
    """

    seconds: float = 0.0
    jitter: Jitter = "none"
    spread: float = 0.0
    slow: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(0 <= self.seconds < math.inf, self, "seconds", ">= 0")
        check(self.jitter in get_args(Jitter), self, "jitter", f"one of {', '.join(get_args(Jitter))}")
        check(0 <= self.spread < math.inf, self, "spread", ">= 0")
        check(self.jitter != "two_state" or self.spread <= 1, self, "spread", "in [0, 1], a share of the steps")
        for node, times in self.slow.items():
            check(node >= 0 and times > 0, self, "slow", "numbers of nodes with a factor > 0")

    def nanoseconds(self, n: int, seed: int, step: int) -> Nanoseconds:
        """(n,): that of this step."""
        random = generator(seed, "compute seconds", step)
        seconds = np.full(n, self.seconds)
        if self.jitter == "exponential":
            seconds *= 1 + self.spread * random.exponential(size=n)
        elif self.jitter == "lognormal":
            seconds *= np.exp(self.spread * random.standard_normal(n))
        elif self.jitter == "pareto" and self.spread:
            seconds *= 1 + random.pareto(1 / self.spread, n)
        elif self.jitter == "two_state":
            seconds *= np.where(random.random(n) < self.spread, SLOW_STATE, 1.0)
        for node, times in self.slow.items():
            seconds[node] *= times
        return in_nanoseconds(seconds)


@dataclass(frozen=True)
class SimulatedNetwork:
    """Nodes of some speed on links of some speed, on which a run is told to take its time; see `NetworkTimes`.

    Args:
        levels: From the nodes up.
        compute: How long gradients take.
    """

    levels: Sequence[Level]
    compute: Compute = Compute()

    def __post_init__(self) -> None:
        check(len(self.levels) >= 1, self, "levels", "one or more")
        for level in self.levels[:-1]:
            check(level.members is not None, level, "members", "a number, but at the uppermost level")

    def check_nodes(self, n: int) -> None:
        """Raise ValueError if a slow node is not among the n nodes with data."""
        check(all(node < n for node in self.compute.slow), self.compute, "slow", f"nodes with data, 0 to {n - 1}")

    @classmethod
    def of(cls, what: str | Path | Mapping[str, Any]) -> SimulatedNetwork:
        """A network by its name, lan, wan, hpc or edge, by its file in YAML, or by what such a file says.

        Raises:
            ValueError: It is none.
            DataError: The file cannot be read.
        """
        if isinstance(what, Mapping):
            return cls(**_arguments(what))
        if str(what) in NETWORKS:
            return NETWORKS[str(what)]
        path = Path(what)
        if not path.suffix and not path.exists():
            raise ValueError(f"there is no network {str(what)!r}; it may be {', '.join(NETWORKS)}, or a YAML file")
        kept = read_yaml(path, "the network")
        try:
            return cls(**_arguments(kept))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error


def in_nanoseconds(seconds: Any) -> Nanoseconds:
    """The nearest whole numbers of nanoseconds."""
    return np.rint(np.asarray(seconds, float) * SECOND).astype(np.int64)


def _arguments(kept: Any) -> dict[str, Any]:
    """The arguments of a network that a file describes."""
    if not isinstance(kept, Mapping) or not isinstance(kept.get("levels"), list):
        raise ValueError("a network has levels, a list of mappings with latency and bandwidth, and maybe compute")
    unknown = [key for key in kept if key not in ("levels", "compute")]
    if unknown:
        raise ValueError(f"a network has no {unknown[0]!r}; it has levels and compute")
    levels = [_made(Level, level) for level in kept["levels"]]
    return {"levels": tuple(levels), "compute": _made(Compute, kept.get("compute") or {})}


def _made(kind: type, kept: Any) -> Any:
    known = [each.name for each in fields(kind)]
    if not isinstance(kept, Mapping) or any(key not in known for key in kept):
        raise ValueError(f"{kept!r} is no {kind.__name__.lower()} of a network; it has {', '.join(known)}")
    for key, value in kept.items():
        if isinstance(value, str) and key not in ("jitter",):
            raise ValueError(f"{key} = {value!r} is not a number; in YAML a number such as 1e9 is written 1.0e+9")
    try:
        return kind(**kept)
    except TypeError as error:
        raise ValueError(f"{kind.__name__.lower()} of a network: {str(error).partition('() ')[2]}") from error


NETWORKS = {
    "lan": SimulatedNetwork((Level(latency=50e-6, bandwidth=125e6),), Compute(0.01)),
    "hpc": SimulatedNetwork(
        (Level(latency=2e-6, bandwidth=100e9, members=8), Level(latency=3e-6, bandwidth=25e9)), Compute(0.01)
    ),
    "wan": SimulatedNetwork(
        (Level(latency=50e-6, bandwidth=1.25e9, members=8), Level(latency=0.03, bandwidth=125e6)), Compute(0.01)
    ),
    "edge": SimulatedNetwork(
        (Level(latency=0.03, bandwidth=2.5e6, up=2.5e6, down=12.5e6),), Compute(0.1, "lognormal", 0.5)
    ),
}
"""Gigabit Ethernet; hosts of 8 nodes at 200 Gbit/s; sites of 8 nodes at 1 Gbit/s and 30 ms; homes at 20 Mbit/s up and
100 down. Round numbers, to compare methods by; a file says those of one's own."""
