"""`rounds`: federated averaging with many clients, of which few take part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from algorithms import FedAvg, Minibatch, OracleState, ShardedWorkload
from algorithms.numerics.threads import one_thread
from gossip.bench.command import Command, option, whole
from gossip.console import table
from gossip.drivers.gradients import Gradients
from gossip.drivers.lockstep import Lockstep
from gossip.network import Communicator, connect
from gossip.workloads import Mnist
from gossip.workloads.splits import WithReplacement
from topologies import complete, with_servers


@dataclass(frozen=True)
class RoundsRow:
    """Rounds with minibatches of one size.

    Attributes:
        clients: Number of clients.
        taking_part: How many of them take part in a round.
        dimension: Parameters of the model, d.
        batch: Examples of each gradient.
        seconds: CPU seconds of a round.
        gradient_seconds: CPU seconds of the gradients of as many clients in as many iterations.
    """

    clients: int
    taking_part: int
    dimension: int
    batch: int
    seconds: float
    gradient_seconds: float

    @property
    def ratio(self) -> float:
        """Time over that of the gradients."""
        return self.seconds / self.gradient_seconds

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True)
class Rounds(Command):
    """CPU time of a round of FedAvg with many clients of which few take part, and its ratio to that of their gradients:
    a perceptron on Mnist's images, in one process on one core. Rounds and gradients are timed in turn. Under mpirun the
    first rank does it all."""

    repeats: int = option(10, "rounds, of which the median counts", whole)
    clients: int = option(1_000, "clients", whole)
    taking_part: int = option(20, "clients that take part in a round", whole)
    local_steps: int = option(5, "local iterations of a round", whole)
    batch: tuple[int, ...] = option((32, 128), "examples of a gradient", whole)
    hidden: int = option(64, "width of the perceptron's hidden layer", whole)

    def run(self, communicator: Communicator) -> list[RoundsRow]:
        """Measure on the first rank; collective."""
        return communicator.from_root(self._measure)

    def columns(self, rows: Sequence[RoundsRow]) -> Mapping[str, list[str]]:
        """The table: a line for each batch."""
        return {
            "clients": [f"{row.taking_part:,} of {row.clients:,}" for row in rows],
            "dimension": [f"{row.dimension:,}" for row in rows],
            "batch": [f"{row.batch:,}" for row in rows],
            "a round": [table.duration(row.seconds) for row in rows],
            "/ gradients": [f"{table.number(row.ratio)} ({table.duration(row.gradient_seconds)})" for row in rows],
        }

    def _measure(self) -> list[RoundsRow]:
        with one_thread():
            return [self._row(batch) for batch in self.batch]

    def _row(self, batch: int) -> RoundsRow:
        shards = Mnist(hidden=self.hidden, split=WithReplacement(examples=batch)).shard(self.clients, seed=0)
        x = shards.initial().repeat(self.taking_part, 1)
        rounds, alone = self._rounds(shards, batch), []
        seconds = [next(rounds)]  # compiles
        for r in range(self.repeats):
            first = r * self.taking_part % (self.clients - self.taking_part + 1)
            nodes = range(first, first + self.taking_part)
            began = time.process_time()
            state = OracleState.start(len(nodes))
            for step in range(self.local_steps):
                Minibatch(batch).sample(state, shards, x, nodes, step, seed=1)
            alone.append(time.process_time() - began)
            seconds.append(next(rounds))
        medians = statistics.median(seconds[1:]), statistics.median(alone)
        return RoundsRow(self.clients, self.taking_part, x.shape[1], batch, *medians)

    def _rounds(self, shards: ShardedWorkload, batch: int) -> Iterator[float]:
        """CPU seconds of each round of a training."""
        algorithm = FedAvg(lr=0.05, local_steps=self.local_steps, participation=self.taking_part)
        algorithm = algorithm.for_layout(shards.layout)
        with closing(connect(with_servers(complete(self.clients), algorithm.servers), Communicator(), 0)) as network:
            driver = Lockstep(algorithm, Gradients(Minibatch(batch), shards, range(self.clients), seed=0), network)
            position = driver.start(shards.initial().repeat(network.n, 1))
            began = time.process_time()
            for moment in driver.moments(position, self.local_steps * (self.repeats + 1)):
                if moment.step and moment.step % self.local_steps == 0:
                    yield time.process_time() - began
                    began = time.process_time()
