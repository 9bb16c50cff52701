"""`validate`: the simulated clock against real runs between ranks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, LocalSGD, Minibatch, ShardedWorkload, TopK
from gossip.bench.command import TOPOLOGIES, Command, block_option, option, whole
from gossip.bench.network import fit
from gossip.bench.network.mirror import mirrored
from gossip.bench.timing import interleaved
from gossip.console import table
from gossip.drivers.gradients import Gradients
from gossip.drivers.lockstep import Lockstep
from gossip.needs import check_needs
from gossip.network import Communicator, RunNetwork, SimulatedNetwork, TransportName, connect
from gossip.network.simulation.description import Compute
from gossip.workloads import Mnist
from topologies import Schedule

LR, GAMMA = 1e-3, 0.3  # the models hardly change; how long a step takes does not depend on them
PERIOD = 4  # steps between the averages of local SGD
PREDICTED = 50  # periods on the simulated clock
NODES = 2  # at least
METHODS: dict[str, Callable[[], Algorithm]] = {
    "D-SGD": lambda: DecentralizedSGD(lr=LR),
    f"local SGD, every {PERIOD} steps": lambda: LocalSGD(lr=LR, period=PERIOD),
    "CHOCO-SGD, top 1 %": lambda: ChocoSGD(lr=LR, gamma=GAMMA, compressor=TopK(fraction=0.01)),
}


@dataclass(frozen=True)
class Prediction:
    """How long a step takes between ranks: on the simulated clock, and in truth.

    Attributes:
        case: What was run.
        topology: Who talks to whom.
        ranks: Number of processes, with a node each.
        dimension: Parameters.
        compute_seconds: Mean of a step without communication, with all ranks computing at the same time.
        compute_spread: How it varies; see `Compute` with the jitter "exponential".
        predicted_seconds: Of a step, on the network that was fitted.
        measured_seconds: Of a step, on the slowest rank.
    """

    case: str
    topology: str
    ranks: int
    dimension: int
    compute_seconds: float
    compute_spread: float
    predicted_seconds: float
    measured_seconds: float

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        return vars(self) | {"ratio": self.predicted_seconds / self.measured_seconds}


class Stepping:
    """Iterations of a period of steps, as a run makes them.

    Args:
        algorithm: What is computed and sent.
        workload: Its gradients are taken,
        batch: of so many examples.
        network: What links the nodes.
        between: Is called after each step, and takes no part in its time.

    Attributes:
        seconds: Of each step of each call.
        spent: Those that this process took of the cores in it.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        workload: ShardedWorkload,
        batch: int,
        network: RunNetwork,
        *,
        between: Callable[[], None] | None = None,
    ) -> None:
        gradients = Gradients(Minibatch(batch=batch), workload, network.nodes, seed=0)
        for_these = algorithm.for_layout(workload.layout).for_examples([workload.examples(i) for i in network.nodes])
        driver = Lockstep(for_these, gradients, network)
        start = driver.start(workload.initial().repeat(len(network.nodes), 1))
        self._moments = driver.moments(start, sys.maxsize)
        next(self._moments)
        self._between = between
        self.seconds: list[list[float]] = []
        self.spent: list[list[float]] = []

    def __call__(self, iterations: int) -> None:
        """Make so many."""
        seconds, spent = [], []
        for _ in range(iterations * PERIOD):
            began, idle = time.perf_counter(), time.process_time()
            next(self._moments)
            spent.append(time.process_time() - idle)
            seconds.append(time.perf_counter() - began)
            if self._between is not None:
                self._between()
        self.seconds.append(seconds)
        self.spent.append(spent)


@dataclass(frozen=True)
class Validate(Command):
    """The simulated clock against real runs, one node a rank, on the images of MNIST. Averages between the ranks, and
    what ranks compute in a step, are timed with all ranks at work, as they share cores and memory. A network is fitted
    to the averages, on which the clock tells how long steps of D-SGD, local SGD and CHOCO-SGD take; and these are run
    and timed, interleaved with all else."""

    topology: str = option("ring", "who talks to whom", choices=TOPOLOGIES)
    transport: str = option(
        "peer-to-peer",
        "what carries rows between ranks; sums over all nodes always go by such messages",
        choices=get_args(TransportName),
    )
    hidden: int = option(128, "width of the hidden layer: 100,000 parameters", whole)
    batch: int = option(32, "images of a node in a step", whole)
    block: float = block_option()
    save: str | None = option(None, "file for the network that was fitted, which --network takes")

    def run(self, communicator: Communicator) -> list[Prediction]:
        """Measure, fit and predict; collective."""
        n, transport = communicator.size, cast(TransportName, self.transport)
        graph = communicator.from_root(lambda: self._graph(n))
        workload = Mnist(hidden=self.hidden).shard(n, 0, communicator.from_root)
        wanted = fit.operations(n, (1000, workload.layout.d // 10, workload.layout.d))
        with ExitStack() as open_until_measured:
            cases, networks = fit.cases(wanted, communicator, transport)
            alone = {}
            for name, make in METHODS.items():
                networks.append(connect(graph, communicator, transport=transport))
                cases[name] = Stepping(make(), workload, self.batch, networks[-1])
                alone[name] = Stepping(make(), workload, self.batch, mirrored(graph, communicator.rank))
                cases[f"{name} alone"] = alone[name]
            for network in networks:
                open_until_measured.enter_context(closing(network))
            seconds = interleaved(cases, self.repeats, communicator, shortest=self.block)
        blocks = communicator.gather({name: each.seconds[-self.repeats :] for name, each in alone.items()})
        link = fit.fit(wanted, seconds, n)
        networks_fitted = {
            name: fit.fitted(link, fit.computing(np.array([each[name] for each in blocks]))) for name in METHODS
        }
        return communicator.from_root(lambda: self._rows(graph, workload, networks_fitted, seconds))

    def _graph(self, ranks: int) -> Schedule:
        if ranks < NODES:
            raise ValueError(f"validate needs ranks to measure between: start {NODES} or more, mpirun -n {NODES} ...")
        graph = TOPOLOGIES[self.topology](ranks)
        for make in METHODS.values():
            check_needs(make(), graph)
        return graph

    def _rows(
        self,
        graph: Schedule,
        workload: ShardedWorkload,
        simulated: Mapping[str, SimulatedNetwork],
        seconds: Mapping[str, float],
    ) -> list[Prediction]:
        rows = [
            Prediction(
                case=name,
                topology=graph.name,
                ranks=graph.n,
                dimension=workload.layout.d,
                compute_seconds=network.compute.seconds * (1 + network.compute.spread),
                compute_spread=network.compute.spread,
                predicted_seconds=self._predicted(METHODS[name](), graph, workload, network),
                measured_seconds=seconds[name] / PERIOD,
            )
            for name, network in simulated.items()
        ]
        first, *others = simulated
        (link,) = simulated[first].levels
        print(
            f"fitted: latency {table.duration(link.latency)}, {link.bandwidth / 1e9:.2f} GB/s, "
            f"{table.duration(link.overhead)} a message beyond its bytes"
        )
        if self.save is not None:
            about = [
                f"Fitted by gossip.bench validate with {graph.n} ranks, all at work: computing as in {first};",
                *(f"of {name}: {_words(simulated[name].compute)}" for name in others),
            ]
            Path(self.save).write_text(fit.text(simulated[first], about), encoding="utf-8")
        return rows

    def _predicted(
        self, algorithm: Algorithm, graph: Schedule, workload: ShardedWorkload, simulated: SimulatedNetwork
    ) -> float:
        """Seconds of a step on the clock, in this process."""
        network = connect(graph, Communicator(), clock=simulated)
        run = Stepping(algorithm, workload, 1, network)  # as long as with more images, on the clock
        began = network.seconds
        run(PREDICTED)
        return (network.seconds - began) / PREDICTED / PERIOD

    def files(self) -> list[str]:
        """See `Command`."""
        return super().files() + ([] if self.save is None else [self.save])

    def columns(self, rows: Sequence[Prediction]) -> Mapping[str, list[str]]:
        """See `Command`."""
        return {
            "case": [row.case for row in rows],
            "topology": [row.topology for row in rows],
            "ranks": [str(row.ranks) for row in rows],
            "dimension": [f"{row.dimension:,}" for row in rows],
            "computing": [table.duration(row.compute_seconds) for row in rows],
            "predicted": [table.duration(row.predicted_seconds) for row in rows],
            "measured": [table.duration(row.measured_seconds) for row in rows],
            "ratio": [table.number(row.predicted_seconds / row.measured_seconds) for row in rows],
        }


def _words(compute: Compute) -> str:
    return f"seconds {compute.seconds:.3g}, spread {compute.spread:.2g}"
