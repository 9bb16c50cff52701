"""What a simulated network is: how fast its nodes and links are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from algorithms.checks import check
from gossip.network.simulation.compute import SECOND as SECOND
from gossip.network.simulation.compute import Compute as Compute
from gossip.network.simulation.compute import Nanoseconds as Nanoseconds
from gossip.network.simulation.compute import Trace
from gossip.network.simulation.compute import in_nanoseconds as in_nanoseconds
from gossip.network.simulation.failures import Failures, Outage
from gossip.network.simulation.graph import LinkGraph, read_graphml
from gossip.network.simulation.host import Host
from gossip.yaml_files import read_yaml

PARTS = ("levels", "graph", "compute", "host", "failures", "sums")  # of a network
Sums = Literal["ring", "tree"]
TEXTS = ("jitter", "trace", "link")  # which are no numbers


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
        overhead: Seconds, >= 0, that each message takes a link beyond its bytes.
    """

    latency: float
    bandwidth: float
    members: int | None = None
    up: float | None = None
    down: float | None = None
    overhead: float = 0.0

    def __post_init__(self) -> None:
        check(0 <= self.latency < math.inf, self, "latency", ">= 0, in seconds")
        check(self.bandwidth > 0, self, "bandwidth", "> 0, in bytes per second")
        check(0 <= self.overhead < math.inf, self, "overhead", ">= 0, in seconds")
        check(self.members is None or self.members >= 1, self, "members", ">= 1")
        for name in ("up", "down"):
            check(getattr(self, name) is None or getattr(self, name) > 0, self, name, "> 0, in bytes per second")


@dataclass(frozen=True)
class SimulatedNetwork:
    """Nodes of some speed on links of some speed, on which a run is told to take its time; see `NetworkTimes`.

    Args:
        levels: From the nodes up,
        compute: How long gradients take.
        graph: The links in the place of levels.
        failures: When links are down.
        host: The cores that nodes share; each has one of its own by default, and messages take it no time.
        sums: How sums over all nodes go: along a "ring", as in most libraries, or the "tree" of this project's own
            transports, which gives the same bits on any number of ranks.
    """

    levels: Sequence[Level] = ()
    compute: Compute = field(default_factory=Compute)
    graph: LinkGraph | None = None
    failures: Failures = field(default_factory=Failures)
    sums: Sums = "ring"
    host: Host | None = None

    def __post_init__(self) -> None:
        check(len(self.levels) >= 1 or self.graph is not None, self, "levels", "one or more")
        check(not self.levels or self.graph is None, self, "levels", "left out beside a graph")
        check(self.sums in get_args(Sums), self, "sums", f"one of {', '.join(get_args(Sums))}")
        for level in self.levels[:-1]:
            check(level.members is not None, level, "members", "a number, but at the uppermost level")

    def check_nodes(self, n: int) -> None:
        """Raise ValueError if computing times are not those of n nodes with data."""
        self.compute.check_nodes(n)

    def nanoseconds(self, n: int, seed: int, step: int) -> Nanoseconds:
        """(n,): how long the gradient of this step takes each of n nodes with data."""
        return self.compute.nanoseconds(n, seed, step)

    @classmethod
    def of(cls, what: str | Path | Mapping[str, Any]) -> SimulatedNetwork:
        """A network by its name, lan, wan, hpc or edge, by its file in YAML or GraphML, or by what a file in YAML says.

        Raises:
            ValueError: It is none.
            DataError: The file cannot be read.
        """
        if isinstance(what, Mapping):
            return cls(**_arguments(what, Path()))
        if str(what) in NETWORKS:
            return NETWORKS[str(what)]
        path = Path(what)
        if not path.suffix and not path.exists():
            raise ValueError(
                f"there is no network {str(what)!r}; it may be {', '.join(NETWORKS)}, or a YAML or GraphML file"
            )
        if path.suffix == ".graphml":
            graph, compute = read_graphml(path)
            return cls(graph=graph, compute=compute)
        kept = read_yaml(path, "the network")
        try:
            return cls(**_arguments(kept, path.parent))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error


def _arguments(kept: Any, folder: Path) -> dict[str, Any]:
    """The arguments of a network that a file in this folder describes."""
    if not isinstance(kept, Mapping) or not (isinstance(kept.get("levels"), list) or "graph" in kept):
        raise ValueError(
            "a network has levels, a list of mappings with latency and bandwidth, or a graph, the name of a GraphML "
            "file, and maybe compute, host and failures"
        )
    unknown = [key for key in kept if key not in PARTS]
    if unknown:
        raise ValueError(f"a network has no {unknown[0]!r}; it has {', '.join(PARTS)}")
    levels = tuple(_made(Level, level) for level in kept.get("levels", []))
    arguments: dict[str, Any] = {"levels": levels, "compute": _compute(kept.get("compute") or {}, folder)}
    if "host" in kept:
        arguments["host"] = _made(Host, kept["host"])
    if "sums" in kept:
        arguments["sums"] = kept["sums"]
    if "graph" in kept:
        arguments["graph"], timed = read_graphml(folder / str(kept["graph"]))
        if timed.trace is not None and kept.get("compute"):
            raise ValueError(
                f"both compute and the nodes in {kept['graph']} say computing times; leave one of them out"
            )
        arguments["compute"] = timed if timed.trace is not None else arguments["compute"]
    failures = dict(_mapping(kept.get("failures") or {}, Failures))
    outages = failures.pop("outages", [])
    if not isinstance(outages, list):
        raise ValueError(f"outages = {outages!r} is not a list of mappings with start and end")
    arguments["failures"] = _made(Failures, failures | {"outages": tuple(_made(Outage, each) for each in outages)})
    return arguments


def _compute(kept: Any, folder: Path) -> Compute:
    file = _mapping(kept, Compute).get("trace")
    trace = {} if file is None else {"trace": Trace.read(folder / str(file))}
    compute: Compute = _made(Compute, {**kept, **trace})
    return compute


def _mapping(kept: Any, kind: type) -> Mapping[str, Any]:
    known = [each.name for each in fields(kind)]
    if not isinstance(kept, Mapping) or any(key not in known for key in kept):
        raise ValueError(f"{kept!r} is no {kind.__name__.lower()} of a network; it has {', '.join(known)}")
    return kept


def _made(kind: type, kept: Any) -> Any:
    for key, value in _mapping(kept, kind).items():
        if isinstance(value, str) and key not in TEXTS:
            raise ValueError(f"{key} = {value!r} is not a number; in YAML a number such as 1e9 is written 1.0e+9")
    try:
        return kind(**kept)
    except TypeError as error:
        reason = str(error).partition("() ")[2] or str(error)
        raise ValueError(f"{kind.__name__.lower()} of a network: {reason}") from error


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
