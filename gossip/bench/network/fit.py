"""A simulated network that is like the machine that this runs on, by how long exchanges between its ranks take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from gossip.bench.command import TOPOLOGIES
from gossip.bench.network.mirror import mirrored
from gossip.bench.network.mix import mixing
from gossip.bench.timing import Case, repeated
from gossip.network import Communicator, RunNetwork, SimulatedNetwork, TransportName, connect
from gossip.network.simulation.description import SECOND, Compute, Level
from gossip.network.simulation.host import Host
from gossip.network.simulation.times import NetworkTimes
from topologies import Schedule

BYTES = 4  # of a number
GRAPHS = ("one_peer_exponential", "ring", "complete")  # in which nodes send to one, to two and to all others
FASTEST = 1e12  # bytes per second, where bytes take no time that could be measured
EVALUATIONS = 150  # of a search, at most
UNITS = np.array([1e-5, 1e-5, 1e-9])  # of latency, overhead and seconds per byte, which are then of the same size


@dataclass(frozen=True)
class Operation:
    """Rounds of averaging with neighbours, or over all nodes, between ranks; and what a rank computes in them."""

    graph: str | None
    """Who talks to whom; None for averages over all."""
    dimension: int
    """Numbers of a row."""

    @property
    def name(self) -> str:
        """Of its case."""
        return f"{self.graph or 'average'} {self.dimension:,}"

    def case(self, network: RunNetwork) -> Case:
        """On this network."""
        if self.graph is not None:
            return mixing(network, self.dimension, torch.float32)
        x = torch.ones(len(network.nodes), self.dimension)

        def average() -> None:
            network.mean(x)
            network.finish_step()

        return repeated(average)

    def network(self, n: int) -> Schedule:
        """The graph of n nodes that it takes."""
        return _graph(self.graph or "complete", n)

    def seconds(self, n: int, link: Level, host: Host | None = None) -> float:
        """How long it takes n nodes with such links, and on such hosts, on the clock."""
        times = NetworkTimes(fitted(link, Compute(), host), n, 0, seed=0)
        row_bytes = self.dimension * BYTES
        there = times.reduce(row_bytes) if self.graph is None else times.send(self.network(n)[0], row_bytes)
        return float(there.max()) / SECOND

    def messages(self, n: int) -> int:
        """How many there are between n ranks; averages go up and down a tree."""
        return 2 * (n - 1) if self.graph is None else int(self.network(n)[0].out_degrees.sum())

    def communication(self, seconds: Mapping[str, float]) -> float:
        """Seconds beyond what a rank computes in it, as measured."""
        return max(seconds[self.name] - seconds[f"{self.name} alone"], 0.0)


@cache
def _graph(name: str, n: int) -> Schedule:
    return TOPOLOGIES[name](n)


def operations(n: int, dimensions: Sequence[int]) -> list[Operation]:
    """What is measured between n ranks: each number of neighbours that there is, and averages; rows of each length."""
    degrees = {int(TOPOLOGIES[name](n)[0].out_degrees[0]): name for name in reversed(GRAPHS)}
    return [Operation(name, d) for name in [*(degrees[degree] for degree in sorted(degrees)), None] for d in dimensions]


def cases(
    wanted: Sequence[Operation], processes: Communicator, transport: TransportName
) -> tuple[dict[str, Case], list[RunNetwork]]:
    """A case for each operation and for what a rank computes in it, and the networks, to be closed; collective."""
    found: dict[str, Case] = {}
    networks = []
    for operation in wanted:
        graph = operation.network(processes.size)
        networks.append(connect(graph, processes, transport=transport))
        found[operation.name] = operation.case(networks[-1])
        found[f"{operation.name} alone"] = operation.case(mirrored(graph, processes.rank))
    return found, networks


def fit(wanted: Sequence[Operation], seconds: Mapping[str, float], n: int) -> Level:
    """The links between n ranks on which the clock comes closest to these seconds, by name of an operation.

    By non-negative least squares of relative errors: on the clock, what each takes is linear in the latency, the
    overhead of a message, and the seconds of a byte. Where the overhead cannot be told from the latency, as between two
    ranks, it counts as that.
    """
    units = Level(1.0, math.inf), Level(0.0, math.inf, overhead=1.0), Level(0.0, 1.0)
    costs = np.array([[operation.seconds(n, unit) for unit in units] for operation in wanted]) * UNITS
    if np.linalg.matrix_rank(costs[:, :2]) < 2:
        costs[:, 1] = 0
    weights = np.array([1 / seconds[operation.name] for operation in wanted])
    times = np.array([operation.communication(seconds) for operation in wanted])
    (latency, overhead, slowness), _ = nnls(costs * weights[:, None], times * weights)
    bandwidth = min(FASTEST, 1 / (slowness * UNITS[2])) if slowness else FASTEST
    return Level(float(latency * UNITS[0]), float(bandwidth), overhead=float(overhead * UNITS[1]))


def handling(wanted: Sequence[Operation], spent: Mapping[str, float], n: int, cores: int) -> Host:
    """What a message takes of the cores of a host on which all n ranks are, at each of its ends.

    By non-negative least squares of relative errors; both ends take the same.

    Args:
        wanted: What was measured.
        spent: Seconds of cores that all ranks took together for each operation, and for what they compute in it.
        n: Number of ranks.
        cores: Of the host.
    """
    ends = np.array([2 * operation.messages(n) for operation in wanted], float)
    costs = np.stack([ends * UNITS[1], ends * [operation.dimension * BYTES for operation in wanted] * UNITS[2]], axis=1)
    weights = np.array([1 / spent[operation.name] for operation in wanted])
    seconds = np.array([operation.communication(spent) for operation in wanted])
    (message, byte), _ = nnls(costs * weights[:, None], seconds * weights)
    return Host(cores, message=float(message * UNITS[1]), byte=float(byte * UNITS[2]))


def fit_beside(wanted: Sequence[Operation], seconds: Mapping[str, float], n: int, host: Host) -> Level:
    """As `fit`, on a host whose cores all ranks share: by least squares of the logarithms of times, from there on.

    Where cores are what takes the time, links are found as fast as they need to be.
    """
    start = fit(wanted, seconds, n)
    times = np.array([max(operation.communication(seconds), 1 / SECOND) for operation in wanted])

    def level(logarithms: NDArray[np.float64]) -> Level:
        latency, overhead, slowness = np.exp(logarithms) * UNITS
        return Level(float(latency), float(min(FASTEST, 1 / slowness)), overhead=float(overhead))

    def error(logarithms: NDArray[np.float64]) -> float:
        told = np.array([operation.seconds(n, level(logarithms), host) for operation in wanted])
        return float(np.sum(np.log(np.maximum(told, 1 / SECOND) / times) ** 2))

    begin = np.log(np.maximum(np.array([start.latency, start.overhead, 1 / start.bandwidth]) / UNITS, 0.1))
    found = minimize(error, begin, method="Nelder-Mead", options={"maxfev": EVALUATIONS, "xatol": 1e-2, "fatol": 1e-4})
    return level(np.clip(found.x, np.log(1e-6), np.log(1e6)))


def computing(blocks: NDArray[np.float64]) -> Compute:
    """Shifted exponential times with the mean of those measured, and of the slowest rank of each step.

    The mean of the largest of n exponential variables is their own times 1 + 1/2 + ... + 1/n. A block is what others
    may have interrupted, so its means are taken, and of these the medians.

    Args:
        blocks: (ranks, blocks, steps) seconds.
    """
    mean, slowest = np.median(blocks.mean(axis=(0, 2))), np.median(blocks.max(axis=0).mean(axis=1))
    varying = (slowest - mean) / sum(1 / k for k in range(2, len(blocks) + 1))
    varying = min(max(varying, 0.0), mean / 2)  # a shift is left, whatever has happened
    return Compute(float(mean - varying), "exponential", float(varying / (mean - varying)))


def fitted(link: Level, compute: Compute, host: Host | None = None) -> SimulatedNetwork:
    """These links between all nodes, and sums as they go between ranks."""
    return SimulatedNetwork((link,), compute, sums="tree", host=host)


def text(network: SimulatedNetwork, about: Sequence[str]) -> str:
    """The file that `--network` takes, with these lines of comment."""
    (level,) = network.levels
    kept: dict[str, Any] = {
        "levels": [{name: float(getattr(level, name)) for name in ("latency", "bandwidth", "overhead")}],
        "compute": {name: getattr(network.compute, name) for name in ("seconds", "jitter", "spread")},
        "sums": network.sums,
    }
    return "".join(f"# {line}\n" for line in about) + yaml.safe_dump(kept, sort_keys=False)
