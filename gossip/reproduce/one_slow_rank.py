"""Trainings on real ranks, of which one computes its gradients more slowly: `python -m gossip.reproduce.one_slow_rank`.

Started by mpirun, with a description of the trainings on the command line, it prints what came out as one line of JSON.
A study of one process starts it by `on_ranks`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import gossip
from algorithms import (
    AdPsgd,
    DecentralizedSGD,
    Method,
    Minibatch,
    Sample,
    ShardedWorkload,
    SwarmSGD,
    fully_synchronous_sgd,
)
from algorithms.layout import Layout
from gossip.errors import UsageError
from gossip.processes.environment import launched_as
from gossip.workloads import Mnist
from gossip.workloads.workload import Read, Workload, read_here
from topologies import Topology, complete, ring

AD_PSGD, SWARM, D_PSGD, ALL_REDUCE = METHODS = "AD-PSGD", "SwarmSGD", "D-PSGD", "all-reduce"
HIDDEN = 32  # width of the perceptron
LIMIT = 600  # seconds after which the ranks are ended


@dataclass(frozen=True)
class Slowed(Workload):
    """Another workload, whose gradients take time, and those of one node several times as much.

    A gradient takes as long as it takes to compute, but at least `seconds`; what is left is slept, so that ranks that
    share cores do not wait for these.

    Args:
        workload: This other one.
        seconds: What a gradient takes at least.
        node: The slow node; None for none.
        slowdown: How many times as long its gradients take.
    """

    workload: Workload
    seconds: float
    node: int | None = None
    slowdown: float = 10.0

    def shard(self, n: int, seed: int, read: Read = read_here) -> SlowedShards:
        return SlowedShards(self.workload.shard(n, seed, read), self)


@dataclass(frozen=True)
class SlowedShards:
    """`Slowed`, with its data."""

    shards: ShardedWorkload
    how: Slowed

    @property
    def layout(self) -> Layout:
        return self.shards.layout

    def initial(self) -> Tensor:
        return self.shards.initial()

    def examples(self, node: int) -> int:
        return self.shards.examples(node)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        began = time.perf_counter()
        sample = self.shards.gradient(x, nodes, examples)
        took = time.perf_counter() - began
        wanted = max(took, self.how.seconds) * (self.how.slowdown if self.how.node in nodes else 1.0)
        time.sleep(max(0.0, wanted - took))
        return sample

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        return self.shards.evaluate(x)


def method(name: str, lr: float, nodes: int) -> tuple[Topology, Method]:
    """One of `METHODS`, and the graph that it runs on."""
    made: dict[str, Method] = {
        AD_PSGD: AdPsgd(lr),
        SWARM: SwarmSGD(lr, local_steps=2),
        D_PSGD: DecentralizedSGD(lr),
        ALL_REDUCE: fully_synchronous_sgd(lr),
    }
    return complete(nodes) if name == ALL_REDUCE else ring(nodes), made[name]


def train(name: str, lr: float, slow: int | None, *, ranks: int, steps: int, batch: int, seed: int) -> dict[str, float]:
    """Seconds, gradients per node and accuracy of one training with a node on each rank; collective.

    As it takes a moment until ranks know that there are enough gradients, there may be more than were asked for.

    Args:
        name: The method.
        lr: Its learning rate.
        slow: The slow node.
        ranks: How many nodes.
        steps: Gradients of each, on average.
        batch: Examples of each gradient.
        seed: Of the run.
    """
    last = gossip.run(
        Slowed(Mnist(hidden=HIDDEN), seconds=0.004, node=slow),
        *method(name, lr, ranks),
        oracle=Minibatch(batch),
        steps=steps,
        evaluate_every=steps,
        evaluate_nodes=0,
        seed=seed,
        output=None,
    ).history[-1]
    return {
        "seconds": float(last["seconds"]),
        "gradients": float(last["gradients_per_node"]) / batch,
        "accuracy": float(last["test_accuracy"]),
    }


def on_ranks(ranks: int, trainings: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """What `train` gives of these, one after the other, on so many ranks that are started now.

    Raises:
        UsageError: There is no mpirun, or the ranks have failed, or this process has been started by one.
    """
    if launched_as() is not None:
        raise UsageError("this study starts its ranks itself, so it must be one process; start it without mpirun")
    beside = Path(sys.executable).with_name("mpirun")
    launcher = str(beside) if beside.exists() else shutil.which("mpirun")
    if launcher is None:
        raise UsageError(
            f"this study needs mpirun, and there is none; install it with: {sys.executable} -m pip install "
            f"'gossip-mpi[mpich]'"
        )
    described = json.dumps([{"ranks": ranks, **each} for each in trainings])
    command = [launcher, "-n", str(ranks), sys.executable, "-m", "gossip.reproduce.one_slow_rank", described]
    # There may be fewer cores than ranks, which sleep most of the time.
    environment = {"OMP_NUM_THREADS": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", **os.environ}
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"the {ranks} ranks that {launcher} has started have not ended within {LIMIT} s") from None
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "nothing was said").splitlines()[-1]
        raise UsageError(f"the {ranks} ranks that {launcher} has started failed ({said}); try python -m gossip.doctor")
    found: list[dict[str, float]] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main(described: str) -> None:
    """Carry out trainings, on every rank, and print what came out on rank 0."""
    found = [train(**each) for each in json.loads(described)]
    launch = launched_as()
    if launch is None or launch.rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
