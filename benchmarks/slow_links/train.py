"""Train by each method on ranks behind slow links, and tell the time beside the simulated clock's; see run.sh.

A launch is one rate of links. It measures the links by averages over them, and what each method computes in a step with
all ranks at work; then it trains, in turns, until the average model has the accuracy that is wanted. What is looked at
in between takes no part in the seconds, in the bytes and on the clock.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import Averaged, DistributedDataParallel, gloo
from methods import BATCH, EVERY, METHODS, NODES, TARGET, WORKLOAD, oracle, settings

from algorithms import ShardedWorkload
from gossip.bench.network import fit
from gossip.bench.network.mirror import mirrored
from gossip.bench.network.validate import Stepping
from gossip.bench.timing import Spending, interleaved, mpi_of
from gossip.console.frame import exit_code
from gossip.drivers.gradients import Gradients
from gossip.drivers.lockstep import Lockstep
from gossip.network import Communicator, SimulatedNetwork, connect
from gossip.network.simulation.description import Compute, Level
from gossip.network.simulation.host import Host
from gossip.network.simulation.times import NetworkTimes

SEED = 0  # settings were fixed on others
MOST, QUICK = 400, 4 * EVERY  # steps at most


@dataclass(frozen=True)
class Measured:
    """A run: seconds in truth and on the clock, until the target or to the last step."""

    method: str
    steps: int
    accuracy: float
    seconds: float
    predicted: float
    megabytes: float
    """Sent by a node, on average."""


@dataclass(frozen=True)
class Bench:
    """All that runs of one launch have in common."""

    options: Namespace
    processes: Communicator
    workload: ShardedWorkload

    def until_target(
        self, name: str, step: Callable[[], None], look: Callable[[], tuple[float, float, float]]
    ) -> Measured:
        """Steps until the target.

        Args:
            name: Of the method.
            step: Makes one.
            look: Tells the accuracy, the seconds on the clock and the megabytes so far; collective.
        """
        taken, steps, accuracy = 0.0, 0, 0.0
        while accuracy < TARGET and steps < (QUICK if self.options.quick else MOST):
            self.processes.barrier()  # where early ranks sleep, and then one that all leave at about the same time
            mpi_of(self.processes).Barrier()
            began = time.perf_counter()
            for _ in range(EVERY):
                step()
            steps += EVERY
            taken += max(self.processes.gather(time.perf_counter() - began))
            accuracy, predicted, megabytes = look()
        return Measured(name, steps, accuracy, taken, predicted, megabytes)

    def accuracy(self, average: torch.Tensor) -> float:
        """Of one model (d,) on the images for testing, which rank 0 looks at."""
        return float(self.processes.from_root(lambda: self.workload.evaluate(average)["test_accuracy"]))

    def method(self, name: str, simulated: SimulatedNetwork) -> Measured:
        """Train by a method of this project."""
        chosen, tuned = METHODS[name], settings(name)
        algorithm = chosen.make(tuned["lr"], tuned["gamma"]).for_layout(self.workload.layout)
        with closing(connect(chosen.topology(), self.processes, SEED, "peer-to-peer", clock=simulated)) as network:
            gradients = Gradients(oracle(), self.workload, network.nodes, SEED)
            driver = Lockstep(algorithm, gradients, network)
            moments = driver.moments(driver.start(self.workload.initial().repeat(len(network.nodes), 1)), MOST)
            moment = next(moments)

            def step() -> None:
                nonlocal moment
                moment = next(moments)

            def look() -> tuple[float, float, float]:
                driver.spread(moment.state)
                with network.unrecorded():
                    average = network.sum(algorithm.model(moment.state)) / NODES
                sent = self.processes.gather(int(network.traffic.bytes.sum()))
                return self.accuracy(average), network.seconds, sum(sent) / NODES / 1e6

            return self.until_target(name, step, look)

    def baseline(
        self, name: str, training: Averaged | DistributedDataParallel, simulated: SimulatedNetwork
    ) -> Measured:
        """Train by an all-reduce of gradients that is not this project's."""
        times, made = NetworkTimes(simulated, NODES, 0, SEED), 0
        row_bytes = self.workload.layout.d * fit.BYTES

        def step() -> None:
            nonlocal made
            training.step()
            made += 1

        def look() -> tuple[float, float, float]:
            nonlocal times
            times = NetworkTimes(simulated, NODES, 0, SEED)
            for each in range(made):
                times.compute(each)
                times.wait(times.reduce(row_bytes))
            least = made * 2 * (NODES - 1) / NODES * row_bytes  # of any all-reduce
            return self.accuracy(training.model()), times.seconds, least / 1e6

        return self.until_target(name, step, look)


def measure_links(processes: Communicator, d: int, repeats: int) -> tuple[Level, Host]:
    """Those behind which the ranks are, and what messages take of the cores, by averages of rows as methods send them:
    short ones and whole ones. Between these lengths a token bucket that is full lets them pass at once."""
    wanted = fit.operations(processes.size, (1000, d))
    cases, networks = fit.cases(wanted, processes, "peer-to-peer")
    spending = {name: Spending(case) for name, case in cases.items()}
    seconds = interleaved(spending, repeats, processes)
    for network in networks:
        network.close()
    gathered = processes.gather({name: float(np.median(each.seconds[-repeats:])) for name, each in spending.items()})
    spent = {name: sum(each[name] for each in gathered) for name in cases}
    host = fit.handling(wanted, spent, processes.size, processes.local_cores)
    link = processes.from_root(lambda: fit.fit_beside(wanted, seconds, processes.size, host))
    if processes.rank == 0:
        for each in wanted:
            told = each.seconds(processes.size, link, host)
            print(f"{each.name}: {1e3 * each.communication(seconds):.2f} ms, {1e3 * told:.2f} ms as fitted", flush=True)
    return link, host


def measure_computing(processes: Communicator, workload: ShardedWorkload, repeats: int) -> dict[str, Compute]:
    """What each method takes of a core in a step, with all ranks at work.

    They wait for each other between steps, as in training: caches are cold then, as others have had the core.
    """
    cases = {}
    for name, method in METHODS.items():
        tuned = settings(name)
        network = mirrored(method.topology(), processes.rank)
        algorithm = method.make(tuned["lr"], tuned["gamma"])
        cases[name] = Stepping(algorithm, workload, BATCH, network, between=processes.barrier)
    interleaved(cases, repeats, processes)
    blocks = processes.gather({name: case.spent[-repeats:] for name, case in cases.items()})
    return {name: fit.computing(np.array([each[name] for each in blocks])) for name in METHODS}


def bench(processes: Communicator, options: Namespace) -> int:
    """Measure and train; collective. Rank 0 writes what was found."""
    torch.set_num_threads(1)
    if processes.size != NODES:
        raise ValueError(f"this takes {NODES} ranks, not {processes.size}; start it by run.sh")
    workload = WORKLOAD.shard(NODES, SEED, processes.from_root)
    repeats = 1 if options.quick else 5
    link, host = measure_links(processes, workload.layout.d, repeats)
    computing = measure_computing(processes, workload, repeats)
    shared = Bench(options, processes, workload)
    found: list[Measured] = []
    lr, compute = settings("all-reduce SGD")["lr"], computing["all-reduce SGD"]
    ring = SimulatedNetwork((link,), compute, host=host)
    with gloo(processes, options.address):
        for _ in range(1 if options.quick else options.repeats):
            for name in METHODS:
                found.append(shared.method(name, fit.fitted(link, computing[name], host)))
            averaged = Averaged(workload, processes, oracle(), lr, SEED)
            found.append(shared.baseline("all-reduce SGD, MPI_Allreduce", averaged, ring))
            ddp = DistributedDataParallel(workload, processes, lr, SEED)
            found.append(shared.baseline("all-reduce SGD, DDP over gloo", ddp, ring))
    record: dict[str, Any] = {
        "rate": options.rate,
        "link": vars(link),
        "host": vars(host),
        "quick": options.quick,
        "compute_seconds": {name: each.seconds * (1 + each.spread) for name, each in computing.items()},
        "runs": [vars(each) for each in found],
    }
    processes.from_root(lambda: Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8"))
    return 0


def main() -> int:
    """The command."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rate", required=True, help="of the links, in words")
    parser.add_argument("--address", required=True, help="of rank 0, with a free port, for gloo")
    parser.add_argument("--json", required=True, help="file for what was found")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each method (default: 3)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} steps of each, measured once")
    options = parser.parse_args()
    return exit_code(lambda processes: bench(processes, options), doing=("slow_links", *sys.argv[1:]), shows=True)


if __name__ == "__main__":
    sys.exit(main())
