"""What there is to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import topologies
from algorithms import (
    Algorithm,
    ChocoSGD,
    Compressor,
    DecentralizedSGD,
    ExactDiffusion,
    GradientTracking,
    LocalSGD,
    SquarmSGD,
)
from gossip.advise.rates import (
    Deviation,
    Memory,
    Problem,
    compressed,
    corrected,
    memory,
    periodic,
    tracked,
)
from topologies import Schedule, Topology

PERIODS = (1, 2, 4, 8, 16, 32, 64)  # steps from one averaging to the next
COMPRESSED_PERIODS = (4, 16, 64)
FLAT = ("ring", "torus", "exponential", "one_peer_exponential", "base_graph")
ON_HOSTS = ("hierarchical", "alternating_hierarchical")
COMPRESSED = ("ring", "torus", "exponential", "hierarchical")  # static ones
CORRECTED = ("ring", "torus", "hierarchical")  # static symmetric ones


@dataclass(frozen=True)
class Operator:
    """A compressor, and what was measured of it."""

    compressor: Compressor
    options: Mapping[str, Any]
    """On the command line, below the algorithm's compressor."""

    bytes: int
    """Of a message that stands for a model."""

    alpha: float
    """1 - |C(x) - x|^2 / |x|^2 on a Gaussian vector."""

    @property
    def name(self) -> str:
        """As tables have it."""
        words = [type(self.compressor).__name__, *(self.options.values())]
        return " ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in words)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method on a topology, with all that a run needs but the workload."""

    method: str
    topology: Schedule
    algorithm: Algorithm[Any]
    """With vectors as they are in the place of compressed ones, which takes less time to run and is as often sent."""

    options: Mapping[str, Any]
    """Those of gossip.train that say what is meant, but for the learning rate."""

    deviation: Callable[[Problem], Deviation]
    period: int = 1
    operator: Operator | None = None
    slowdown: float = 1.0
    """How many times as long differences between nodes live as without compression."""

    @property
    def exact(self) -> bool:
        """Whether it takes sums over all nodes, and the topology means nothing."""
        return isinstance(self.algorithm, LocalSGD)

    @property
    def name(self) -> str:
        """In short, for sentences."""
        parts = [self.method]
        if not self.exact:
            parts.append(f"on {self.topology.name}")
        if self.operator is not None:
            parts.append(f"with {self.operator.name}")
        if self.period > 1:
            parts.append(f"every {self.period} steps")
        return " ".join(parts)


def candidates(n: int, hosts: int | None, operators: list[Operator], heterogeneous: bool) -> Iterator[Candidate]:
    """All that is compared, all-reduce SGD first.

    Args:
        n: Number of nodes.
        hosts: On how many hosts, for graphs of two levels; None for no such graphs.
        operators: The compressors.
        heterogeneous: Whether to offer methods that are there for nodes with different data.
    """
    graphs = dict(_topologies(n, hosts))
    memories = {name: memory(topology) for name, (topology, _) in graphs.items()}
    ring = {"topology": "ring"}
    for period in PERIODS:
        name = "all-reduce SGD" if period == 1 else "local SGD"
        yield _periodic(name, LocalSGD(period=period), (graphs["ring"][0], ring), None, period)
    for name, graph in graphs.items():
        for period in PERIODS:
            yield _periodic("D-SGD", DecentralizedSGD(period=period), graph, memories[name], period)
        yield _beside(graph, memories[name])
    for name in COMPRESSED:
        if name in graphs:
            for operator in operators:
                yield from _compressed(graphs[name], memories[name], operator)
    for name in CORRECTED if heterogeneous else ():
        if name in graphs:
            yield from _corrected(graphs[name])


Graph = tuple[Schedule, Mapping[str, Any]]
"""A topology with its options on the command line."""


def _topologies(n: int, hosts: int | None) -> Iterator[tuple[str, Graph]]:
    """Those that exist for so many nodes and hosts; on one host, or with one node on each, there are no two levels."""
    for name in FLAT:
        try:
            yield name, (getattr(topologies, name)(n), {"topology": name})
        except ValueError:  # such as a torus of a prime number of nodes
            continue
    if hosts is not None and 1 < hosts < n:
        for name in ON_HOSTS:
            yield name, (getattr(topologies, name)(n, hosts), {"topology": name, "topology.hosts": hosts})


def _periodic(
    method: str, algorithm: Algorithm[Any], graph: Graph, remembered: Memory | None, period: int
) -> Candidate:
    topology, words = graph
    options = {**words, "algorithm": type(algorithm).__name__}
    if period > 1 or isinstance(algorithm, LocalSGD):
        options["algorithm.period"] = period
    deviation = periodic(remembered, topology.n, period)
    return Candidate(method, topology, algorithm, options, _always(deviation), period)


def _beside(graph: Graph, remembered: Memory) -> Candidate:
    """The averaging travels while the gradient is computed."""
    topology, words = graph
    options = {**words, "algorithm": "DecentralizedSGD", "algorithm.order": "consensus"}
    deviation = periodic(remembered, topology.n, 1, beside=True)
    return Candidate("D-SGD, overlapped", topology, DecentralizedSGD(order="consensus"), options, _always(deviation))


def _compressed(graph: Graph, remembered: Memory, operator: Operator) -> Iterator[Candidate]:
    topology, words = graph
    assert isinstance(topology, Topology)
    gamma = float(f"{operator.alpha:.2g}")  # which keeps the operators here stable; larger ones are faster at best
    kept = compressed(topology, operator.alpha, gamma)
    named = {"algorithm.gamma": gamma, "algorithm.compressor": type(operator.compressor).__name__}
    named |= {f"algorithm.compressor.{key}": value for key, value in operator.options.items()}
    for period in (1, *COMPRESSED_PERIODS):
        options = {**words, "algorithm": "ChocoSGD" if period == 1 else "SquarmSGD", **named}
        algorithm: Algorithm[Any]
        if period == 1:
            algorithm = ChocoSGD(gamma=gamma)
        else:
            algorithm = SquarmSGD(gamma=gamma, period=period, momentum=0.0)
            options |= {"algorithm.period": period, "algorithm.momentum": 0.0}
        deviation = periodic(kept, topology.n, period)
        times = kept.over(remembered)
        yield Candidate(
            "CHOCO-SGD" if period == 1 else "SQuARM-SGD",
            topology,
            algorithm,
            options,
            _always(deviation),
            period,
            operator,
            times,
        )


def _always(deviation: Deviation) -> Callable[[Problem], Deviation]:
    """For methods that are as far apart whatever is asked for."""
    return lambda problem: deviation


def _corrected(graph: Graph) -> Iterator[Candidate]:
    topology, words = graph
    assert isinstance(topology, Topology)
    yield Candidate(
        "exact diffusion",
        topology,
        ExactDiffusion(),
        {**words, "algorithm": "ExactDiffusion"},
        lambda problem: corrected(topology, problem.target),
    )
    order = "adapt-then-combine"
    yield Candidate(
        "gradient tracking",
        topology,
        GradientTracking(order="adapt-then-combine"),
        {**words, "algorithm": "GradientTracking", "algorithm.order": order},
        lambda problem: tracked(topology, problem.target),
    )
