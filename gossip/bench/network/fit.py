"""A simulated network that is like the machine that this runs on, by how long exchanges between its ranks take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import yaml
from scipy.optimize import nnls

from gossip.bench.command import TOPOLOGIES
from gossip.bench.network.mirror import mirrored
from gossip.bench.network.mix import mixing
from gossip.bench.timing import Case
from gossip.network import Communicator, RunNetwork, SimulatedNetwork, TransportName, connect
from gossip.network.simulation.description import Compute, Level

BYTES = 4  # of a number
GRAPHS = ("one_peer_exponential", "ring", "complete")  # in which nodes send to one, to two and to all others
FASTEST = 1e12  # bytes per second, where bytes take no time that could be measured


@dataclass(frozen=True)
class Exchange:
    """Rounds of averaging between ranks, and the same in each rank by itself, which is what is no communication."""

    graph: str
    degree: int
    """To how many others a node sends."""
    dimension: int
    """Numbers of a row."""

    @property
    def name(self) -> str:
        """Of its case."""
        return f"{self.graph} {self.dimension:,}"

    def communication(self, seconds: Mapping[str, float]) -> float:
        """Seconds of a round beyond what a rank computes in it."""
        return max(seconds[self.name] - seconds[f"{self.name} alone"], 0.0)


def exchanges(n: int, dimensions: Sequence[int]) -> list[Exchange]:
    """What is measured between n ranks: each number of neighbours that there is, with rows of each length."""
    degrees = {int(TOPOLOGIES[name](n)[0].out_degrees[0]): name for name in reversed(GRAPHS)}
    return [Exchange(name, degree, d) for degree, name in sorted(degrees.items()) for d in dimensions]


def cases(
    wanted: Sequence[Exchange], processes: Communicator, transport: TransportName
) -> tuple[dict[str, Case], list[RunNetwork]]:
    """A case for each exchange and for what a rank computes in it, and the networks, to be closed; collective."""
    found: dict[str, Case] = {}
    networks = []
    for exchange in wanted:
        graph = TOPOLOGIES[exchange.graph](processes.size)
        between = connect(graph, processes, transport=transport)
        networks.append(between)
        found[exchange.name] = mixing(between, exchange.dimension, torch.float32)
        alone = mirrored(graph, processes.rank)
        found[f"{exchange.name} alone"] = mixing(alone, exchange.dimension, torch.float32)
    return found, networks


def fit(wanted: Sequence[Exchange], seconds: Mapping[str, float]) -> Level:
    """The links that come closest: a round takes latency + messages (overhead + bytes / bandwidth).

    By non-negative least squares of relative errors. Where all nodes have one neighbour, the overhead of a message
    cannot be told from the latency, and counts as that.
    """
    one = len({exchange.degree for exchange in wanted}) == 1
    columns = [
        [1.0, 0.0 if one else exchange.degree, exchange.degree * exchange.dimension * BYTES] for exchange in wanted
    ]
    weights = np.array([1 / seconds[exchange.name] for exchange in wanted])
    times = np.array([exchange.communication(seconds) for exchange in wanted])
    scale = np.array([1e-5, 1e-5, 1e-9])  # so that all unknowns are of the same size
    (latency, overhead, slowness), _ = nnls(np.array(columns) * scale * weights[:, None], times * weights)
    bandwidth = min(FASTEST, 1 / (slowness * scale[2])) if slowness else FASTEST
    return Level(float(latency * scale[0]), float(bandwidth), overhead=float(overhead * scale[1]))


def fitted(link: Level, seconds: float) -> SimulatedNetwork:
    """These links between all nodes, each of which takes so long for the gradient of a step."""
    return SimulatedNetwork((link,), Compute(float(seconds)), sums="tree")


def text(network: SimulatedNetwork, about: Sequence[str]) -> str:
    """The file that `--network` takes, with these lines of comment."""
    (level,) = network.levels
    kept: dict[str, Any] = {
        "levels": [{name: float(getattr(level, name)) for name in ("latency", "bandwidth", "overhead")}],
        "compute": {"seconds": network.compute.seconds},
        "sums": network.sums,
    }
    return "".join(f"# {line}\n" for line in about) + yaml.safe_dump(kept, sort_keys=False)
