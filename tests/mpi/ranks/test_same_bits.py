"""The project's strongest test: the same run is bit for bit the same on any number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import pytest

from algorithms import (
    QSGD,
    Algorithm,
    ChocoSGD,
    Contraction,
    DecentralizedSGD,
    ExactDiffusion,
    Full,
    Identity,
    Induced,
    Minibatch,
    Oracle,
    PermK,
    PerTensor,
    QTopK,
    RandomK,
    ScaledSign,
    TopK,
)
from gossip.network import Communicator
from gossip.workloads import LeastSquares, LogisticRegression
from tests.cases import every_case
from tests.mpi.helpers import Results, assert_same, kept, results_of, run, split_into_hosts, torch_threads, trained
from tests.mpi.suits import suits
from topologies import Schedule, Topology, exponential, one_peer_exponential, ring

HOW: dict[int, dict[str, str]] = {2: {}, 3: {"transport": "peer-to-peer", "placement": "spectral"}, 4: {}}


@pytest.mark.ranks(*HOW)
@pytest.mark.parametrize("name", every_case())
def test_case(processes: Communicator, name: str) -> None:
    from mpi4py import MPI

    case = every_case()[name]
    together = run(case, **HOW[processes.size])
    if processes.rank == 0:
        assert_same(together, kept(name, lambda: run(case, communicator=MPI.COMM_SELF)))


ALGORITHMS: dict[str, Algorithm] = {
    "dsgd": DecentralizedSGD(lr=0.05),
    "dsgd-nesterov-period": DecentralizedSGD(lr=0.02, momentum=0.9, nesterov=True, period=3),
    "dsgd-combine-then-adapt": DecentralizedSGD(lr=0.05, order="combine-then-adapt", period=2),
    "dsgd-consensus-momentum": DecentralizedSGD(lr=0.05, order="consensus", momentum=0.5),
    "dsgd-consensus-period": DecentralizedSGD(lr=0.05, order="consensus", period=2),
    "exact-diffusion": ExactDiffusion(lr=0.05),
    "choco-top-k": ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(k=3)),
    "choco-overlapped-top-k": ChocoSGD(
        lr=0.05, gamma=0.2, compressor=TopK(fraction=0.3), order="overlapped", momentum=0.9
    ),
    "choco-identity": ChocoSGD(lr=0.05, gamma=0.9, compressor=Identity()),
    "choco-sign": ChocoSGD(lr=0.05, gamma=0.2, compressor=ScaledSign()),
    "choco-overlapped-random-k": ChocoSGD(lr=0.05, gamma=0.2, compressor=RandomK(fraction=0.3), order="overlapped"),
    "choco-qsgd": ChocoSGD(lr=0.05, gamma=0.2, compressor=Contraction(QSGD(levels=3, bucket=4))),
    "choco-overlapped-per-tensor": ChocoSGD(
        lr=0.05, gamma=0.2, compressor=PerTensor(QTopK(fraction=0.5, levels=2)), order="overlapped"
    ),
    "choco-induced": ChocoSGD(lr=0.05, gamma=0.2, compressor=Contraction(Induced(TopK(k=2), PermK(nodes=16)))),
}


def watts_strogatz(n: int) -> Topology:
    return Topology(nx.connected_watts_strogatz_graph(n, 4, 0.5, seed=3), name="watts-strogatz")


TOPOLOGIES: dict[str, Callable[[int], Schedule]] = {
    each.__name__: each for each in (ring, exponential, one_peer_exponential, watts_strogatz)
}


@dataclass(frozen=True)
class Run:
    """One of ALGORITHMS."""

    algorithm: str
    topology: Schedule
    workload: Callable[[], object]
    oracle: Oracle = field(default_factory=Full)


def squares(n: int, examples: int = 11, d: int = 10) -> Callable[[], object]:
    def make() -> object:
        random = np.random.default_rng(n)
        return LeastSquares(random.normal(size=(n, examples, d)), random.normal(size=(n, examples)), l2=0.01)

    return make


def on_squares(*sizes: int, topologies: Sequence[str] = tuple(TOPOLOGIES)) -> dict[str, Run]:
    """Every algorithm on every topology where it is valid."""
    made = {f"{topology}-{n}": TOPOLOGIES[topology](n) for n in sizes for topology in topologies}
    return {
        f"{where}-{name}": Run(name, topology, squares(topology.n))
        for where, topology in made.items()
        for name, algorithm in ALGORITHMS.items()
        if suits(algorithm, topology)
    }


# Long enough for several threads, for NumPy's buffers, and for messages that MPI does not send at once.
LONG_ROWS = {
    f"long-rows-{name}": Run(name, ring(7), squares(7, 2, 20_000))
    for name in ("dsgd", "dsgd-consensus-period", "choco-top-k")
}
LOGISTIC = {f"logistic-{name}": Run(name, ring(9), LogisticRegression, Minibatch(batch=7)) for name in ALGORITHMS}
RUNS = on_squares(16, 13) | LONG_ROWS | LOGISTIC
FEW = [
    *on_squares(13, topologies=("one_peer_exponential", "watts_strogatz")),
    *LONG_ROWS,
    *(f"logistic-{name}" for name in ("dsgd-consensus-momentum", "dsgd-consensus-period", "exact-diffusion")),
]


def compare(processes: Communicator, name: str, on: Communicator | None = None, **how: str) -> None:
    """Train on all ranks, and on rank 0 alone, with two threads there."""

    def alone() -> Results:
        with torch_threads(2):
            return results_of(*trained(Communicator(), **options)[:2])

    options: dict[str, Any] = {
        "workload": RUNS[name].workload(),
        "topology": RUNS[name].topology,
        "algorithm": ALGORITHMS[RUNS[name].algorithm],
        "oracle": RUNS[name].oracle,
        "steps": 30,
        "evaluate_every": 15,
    }
    model, history, _ = trained(on or processes, **options, **how)
    if processes.rank == 0:
        assert_same(results_of(model, history), kept(f"run {name}", alone))


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", RUNS)
def test_on_three_ranks(processes: Communicator, name: str) -> None:
    compare(processes, name)


# And each on one more number of ranks: neighbours in the list, which are alike, on different ones.


@pytest.mark.ranks(2)
@pytest.mark.parametrize("name", list(RUNS)[0::3])
def test_on_two_ranks(processes: Communicator, name: str) -> None:
    compare(processes, name)


@pytest.mark.ranks(4)
@pytest.mark.parametrize("name", list(RUNS)[1::3])
def test_on_four_ranks(processes: Communicator, name: str) -> None:
    compare(processes, name)


@pytest.mark.ranks(7)
@pytest.mark.parametrize("name", list(RUNS)[2::3])
def test_on_seven_ranks(processes: Communicator, name: str) -> None:
    compare(processes, name)


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", FEW)
def test_peer_to_peer(processes: Communicator, name: str) -> None:
    compare(processes, name, transport="peer-to-peer")


@pytest.mark.ranks(4)
@pytest.mark.parametrize("name", FEW)
def test_neighbor_collective(processes: Communicator, name: str) -> None:
    compare(processes, name, transport="neighbor-collective")


@pytest.mark.ranks(4)
@pytest.mark.parametrize("name", FEW)
def test_hosts_of_two_ranks_each(processes: Communicator, name: str) -> None:
    hosts = split_into_hosts(2)
    compare(processes, name, on=hosts)
    hosts.close()
