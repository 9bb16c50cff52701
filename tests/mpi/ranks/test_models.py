"""What each node has beside parameters, and what its model draws, are the same bits on any number of ranks."""

from __future__ import annotations

from typing import Any

import pytest

from algorithms import DecentralizedSGD, FedAvg, Minibatch, Svrg
from gossip.network import Communicator
from gossip.workloads import TorchWorkload
from tests.gossip.workloads.neural.zoo import CHANGING
from tests.mpi.helpers import Results, assert_same, kept, results_of, torch_threads, trained
from topologies import ring

ZOO = "tests.gossip.workloads.neural.zoo"
RUNS: dict[str, dict[str, Any]] = {
    "": {"algorithm": DecentralizedSGD(lr=0.1), "oracle": Minibatch(5)},
    "on clients that take part": {"algorithm": FedAvg(lr=0.1, participation=0.4), "oracle": Minibatch(5)},
    "with SVRG": {"algorithm": DecentralizedSGD(lr=0.1), "oracle": Svrg(batch=3)},
}


def compare(processes: Communicator, name: str, **options: Any) -> None:
    def alone() -> Results:
        with torch_threads(2):
            return results_of(*trained(Communicator(), **options)[:2])

    options = {"topology": ring(5), "steps": 6, "evaluate_every": 2} | options
    model, history, _ = trained(processes, **options)
    if processes.rank == 0:
        assert_same(results_of(model, history), kept(f"models {name}", alone))


CASES = [(name, "") for name in CHANGING] + [(name, how) for name in ("Ema", "Dropping") for how in RUNS if how]


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize(("name", "how"), CASES)
def test_kept(processes: Communicator, name: str, how: str) -> None:
    workload = TorchWorkload(f"{ZOO}.{name}", f"{ZOO}.Table")
    compare(processes, f"{name} {how}", workload=workload, **RUNS[how])


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", ["Spectral", "Ema", "MovingEncoder"])
def test_averaged(processes: Communicator, name: str) -> None:
    workload = TorchWorkload(f"{ZOO}.{name}", f"{ZOO}.Table", buffers="average")
    compare(processes, f"{name} averaged", workload=workload, **RUNS[""])
