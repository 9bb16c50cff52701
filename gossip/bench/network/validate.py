"""`validate`: the simulated clock against real runs between ranks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, LocalSGD, Minibatch, ShardedWorkload, TopK
from gossip.bench.command import TOPOLOGIES, Command, option, whole
from gossip.bench.network import fit
from gossip.bench.network.mirror import mirrored
from gossip.bench.timing import Case, interleaved
from gossip.console import table
from gossip.drivers.gradients import Gradients
from gossip.drivers.lockstep import Lockstep
from gossip.network import Communicator, RunNetwork, SimulatedNetwork, TransportName, connect
from gossip.workloads import Mnist
from topologies import Schedule

LR, GAMMA = 1e-3, 0.3  # the models hardly change; how long a step takes does not depend on them
PERIOD = 4  # steps between the averages of local SGD
STEPS = 20 * PERIOD  # on the simulated clock
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
        compute_seconds: Of a step without communication, with all ranks computing at the same time.
        predicted_seconds: Of a step, on the network that was fitted.
        measured_seconds: Of a step, on the slowest rank.
    """

    case: str
    topology: str
    ranks: int
    dimension: int
    compute_seconds: float
    predicted_seconds: float
    measured_seconds: float

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        return vars(self) | {"ratio": self.predicted_seconds / self.measured_seconds}


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
    save: str | None = option(None, "file for the network that was fitted, which --network takes")

    def run(self, communicator: Communicator) -> list[Prediction]:
        """Measure, fit and predict; collective."""
        n = communicator.size
        graph = communicator.from_root(lambda: self._graph(n))
        workload = Mnist(hidden=self.hidden).shard(n, 0, communicator.from_root)
        d, transport = workload.layout.d, cast(TransportName, self.transport)
        wanted = fit.operations(n, (1000, d // 10, d))
        with ExitStack() as open_until_measured:
            cases, networks = fit.cases(wanted, communicator, transport)
            for name, make in METHODS.items():
                networks.append(connect(graph, communicator, transport=transport))
                cases[name] = self._stepping(make(), workload, networks[-1])
                cases[f"{name} alone"] = self._stepping(make(), workload, mirrored(graph, communicator.rank))
            for network in networks:
                open_until_measured.enter_context(closing(network))
            seconds = interleaved(cases, self.repeats, communicator)
        link = fit.fit(wanted, seconds, n)
        rows = communicator.from_root(lambda: [self._row(name, graph, workload, seconds, link) for name in METHODS])
        communicator.from_root(lambda: self._report(link, rows))
        return rows

    def _graph(self, ranks: int) -> Schedule:
        if ranks < NODES:
            raise ValueError(f"validate needs ranks to measure between: start {NODES} or more, mpirun -n {NODES} ...")
        return TOPOLOGIES[self.topology](ranks)

    def _stepping(self, algorithm: Algorithm, workload: ShardedWorkload, network: RunNetwork) -> Case:
        """Iterations of a period of steps, as a run makes them."""
        gradients = Gradients(Minibatch(batch=self.batch), workload, network.nodes, seed=0)
        for_these = algorithm.for_layout(workload.layout).for_examples([workload.examples(i) for i in network.nodes])
        driver = Lockstep(for_these, gradients, network)
        moments = driver.moments(driver.start(workload.initial().repeat(len(network.nodes), 1)), sys.maxsize)
        next(moments)

        def step(iterations: int) -> None:
            for _ in range(iterations * PERIOD):
                next(moments)

        return step

    def _row(
        self, name: str, graph: Schedule, workload: ShardedWorkload, seconds: Mapping[str, float], link: fit.Level
    ) -> Prediction:
        compute = seconds[f"{name} alone"] / PERIOD
        predicted = self._predicted(METHODS[name](), graph, workload, fit.fitted(link, compute))
        d, measured = workload.layout.d, seconds[name] / PERIOD
        return Prediction(name, graph.name, graph.n, d, compute, predicted, measured)

    def _predicted(
        self, algorithm: Algorithm, graph: Schedule, workload: ShardedWorkload, simulated: SimulatedNetwork
    ) -> float:
        """Seconds of a step on the clock, in this process."""
        network = connect(graph, Communicator(), clock=simulated)
        run = self._stepping(algorithm, workload, network)
        run(1)
        began = network.seconds
        run(STEPS // PERIOD)
        return (network.seconds - began) / STEPS

    def _report(self, link: fit.Level, rows: Sequence[Prediction]) -> None:
        print(
            f"fitted: latency {table.duration(link.latency)}, {link.bandwidth / 1e9:.2f} GB/s, "
            f"{table.duration(link.overhead)} a message beyond its bytes"
        )
        if self.save is not None:
            ranks = rows[0].ranks
            about = [
                f"Fitted by gossip.bench validate with {ranks} ranks, all at work. Computing takes as in a step",
                *(f"of {row.case}: {row.compute_seconds:.6f} s," for row in rows[:1]),
                *(f"while it is {row.compute_seconds:.6f} s for {row.case}." for row in rows[1:]),
            ]
            Path(self.save).write_text(fit.text(fit.fitted(link, rows[0].compute_seconds), about), encoding="utf-8")

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
