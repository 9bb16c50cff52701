"""Trains every algorithm on every topology where it is valid and saves what came out: trajectories.py FILE [VARIANT].

VARIANT is a transport, or "hosts" (of two ranks each); with one only some of the runs are made.
"""

from __future__ import annotations

import sys
from typing import get_args

import networkx as nx
import numpy as np

import gossip
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
from gossip.network import TransportName
from gossip.processes import launcher
from gossip.workloads import LeastSquares, LogisticRegression
from tests.mpi.suits import suits
from topologies import Schedule, Topology, exponential, one_peer_exponential, ring

ALGORITHMS: tuple[Algorithm, ...] = (
    DecentralizedSGD(lr=0.05),
    DecentralizedSGD(lr=0.02, momentum=0.9, nesterov=True, period=3),
    DecentralizedSGD(lr=0.05, order="combine-then-adapt", period=2),
    DecentralizedSGD(lr=0.05, order="consensus", momentum=0.5),
    DecentralizedSGD(lr=0.05, order="consensus", period=2),
    ExactDiffusion(lr=0.05),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(k=3)),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(fraction=0.3), order="overlapped", momentum=0.9),
    ChocoSGD(lr=0.05, gamma=0.9, compressor=Identity()),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=ScaledSign()),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=RandomK(fraction=0.3), order="overlapped"),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=Contraction(QSGD(levels=3, bucket=4))),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=PerTensor(QTopK(fraction=0.5, levels=2)), order="overlapped"),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=Contraction(Induced(TopK(k=2), PermK(nodes=16)))),
)

VARIANT = sys.argv[2] if len(sys.argv) > 2 else "auto"
TRANSPORT = VARIANT if VARIANT in get_args(TransportName) else "auto"
if VARIANT == "hosts" and launcher.world().size > 1:
    from mpi4py import MPI

    from gossip.processes.mpi import MpiCommunicator

    launcher.world = lambda: MpiCommunicator(MPI.COMM_WORLD, ranks_per_host=2)


def topologies(n: int) -> tuple[Schedule, ...]:
    graph = nx.connected_watts_strogatz_graph(n, 4, 0.5, seed=3)
    return ring(n), exponential(n), one_peer_exponential(n), Topology(graph, name="watts-strogatz")


def main() -> None:
    models: dict[str, np.ndarray] = {}

    def train(name: str, workload: object, topology: Schedule, algorithm: Algorithm, oracle: Oracle) -> None:
        if suits(algorithm, topology):
            result = gossip.run(
                workload,
                topology,
                algorithm,
                steps=30,
                oracle=oracle,
                evaluate_every=15,
                output=None,
                transport=TRANSPORT,  # type: ignore
            )
            models[f"{name} {topology.name} {algorithm}"] = result.model.numpy()
            for measured in ("train_loss", "test_loss", "consensus_distance", "bytes_sent_per_node"):
                values = [record[measured] for record in result.history]
                models[f"{name} {topology.name} {algorithm} {measured}"] = np.array(values)

    few = VARIANT != "auto"
    for n in (13,) if few else (16, 13):
        random = np.random.default_rng(n)
        features, targets = random.normal(size=(n, 11, 10)), random.normal(size=(n, 11))
        squares = LeastSquares(features, targets, l2=0.01)
        for topology in topologies(n)[2 * few :]:
            for algorithm in ALGORITHMS:
                train(f"least squares {n}", squares, topology, algorithm, Full())
    # Long enough for several threads, for NumPy's buffers, and for messages that MPI does not send at once.
    wide = LeastSquares(random.normal(size=(7, 2, 20_000)), random.normal(size=(7, 2)), l2=0.01)
    for algorithm in ALGORITHMS[:1] + ALGORITHMS[4:5] + ALGORITHMS[6:7]:
        train("wide least squares", wide, ring(7), algorithm, Full())
    for algorithm in ALGORITHMS[3:6] if few else ALGORITHMS:
        train("logistic regression", LogisticRegression(), ring(9), algorithm, Minibatch(batch=7))

    if launcher.world().rank == 0:
        np.savez(sys.argv[1], **models)  # type: ignore[arg-type]


main()
