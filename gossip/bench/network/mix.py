"""`mix`: one round of gossip averaging, against what it could cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
import torch

from gossip.bench.command import TOPOLOGIES, Command, TimeRow, block_option, option, whole
from gossip.bench.timing import Case, interleaved, mpi_of, repeated
from gossip.network import Communicator, RunNetwork, TransportName, connect
from topologies import Schedule

BASELINES = ("local_sum", "isend_irecv", "allreduce", "copy")
NODES = 4  # in a single process
TAG = 100  # beyond those of the networks


@dataclass(frozen=True)
class Mix(Command):
    """Gossip averaging of float32 vectors, one node a rank. Mixes follow each other without a barrier, as in
    training. Baselines: the weighted sum of as many private vectors on each rank by itself (local_sum); MPI messages of
    whole vectors and the same sum (isend_irecv); MPI's exact average (allreduce); copying one vector (copy)."""

    transport: tuple[TransportName, ...] = option(
        ("auto",), "what carries rows between ranks; several are compared in one run", choices=get_args(TransportName)
    )
    topology: tuple[str, ...] = option(("ring",), "who talks to whom", choices=TOPOLOGIES)
    dimension: tuple[int, ...] = option((1_000, 100_000, 1_000_000), "entries of a vector, such as 2.5e7", whole)
    block: float = block_option()
    nodes: int | None = option(None, f"nodes, in a single process only; {NODES} by default", whole)

    def run(self, communicator: Communicator) -> list[TimeRow]:
        """Measure each topology with each dimension; collective."""
        graphs = communicator.from_root(lambda: self._build(communicator.size))
        return [row for graph in graphs for d in self.dimension for row in self._measure(graph, d, communicator)]

    def _build(self, ranks: int) -> list[Schedule]:
        n = self.nodes or (ranks if ranks > 1 else NODES)
        if ranks not in (1, n):
            raise ValueError(f"mix takes one node a rank: {n} nodes need {n} ranks, not {ranks}")
        return [TOPOLOGIES[name](n) for name in self.topology]

    def _measure(self, graph: Schedule, d: int, communicator: Communicator) -> list[TimeRow]:
        alone = communicator.size == 1
        networks: dict[str, RunNetwork] = {}
        for transport in self.transport[:1] if alone else self.transport:
            name = "none" if alone else transport
            networks[name] = communicator.together(partial(connect, graph, communicator, transport=transport))
        cases = {name: mixing(network, d, torch.float32) for name, network in networks.items()}
        nodes = next(iter(networks.values())).nodes
        seconds = interleaved(
            cases | _baselines(graph, nodes, d, communicator), self.repeats, communicator, shortest=self.block
        )
        for network in networks.values():
            network.close()
        return [
            TimeRow("mix", name, graph.name, communicator.size, d, seconds[name], baseline, seconds.get(baseline))
            for name in networks
            for baseline in BASELINES
        ]


def mixing(network: RunNetwork, d: int, dtype: torch.dtype) -> Case:
    """Round after round of averaging, as an algorithm does it."""
    x = network.empty(d, dtype)
    x.fill_(1)  # stays near 1, as the rows of W sum to 1: arithmetic on vanishing numbers is slow

    def mix(iterations: int) -> None:
        nonlocal x
        for _ in range(iterations):
            x = network.mix(x)
            network.finish_step()

    return mix


def _baselines(graph: Schedule, nodes: Sequence[int], d: int, communicator: Communicator) -> dict[str, Case]:
    """Those of `BASELINES` that exist with so many ranks, for the nodes of this one.

    As in a mix, the sum of one round is the own vector of the next, so it was just written when it is read or sent.
    """
    from gossip.bench.network.weighted_sum import weighted_sum

    period = len(graph)
    stacks = np.ones((2, len(nodes), d), np.float32)  # the own vectors and the sums, in turn
    others: dict[int, np.ndarray] = {}
    sums: list[list[Callable[[], None]]] = []
    for t in range(period * 2 if period % 2 else period):
        own, out = stacks[t % 2], stacks[1 - t % 2]
        here = graph[t].matrix[nodes]
        for node in set(here.indices.tolist()).difference(nodes, others):
            others[node] = np.ones(d, np.float32)
        vectors = others | dict(zip(nodes, own, strict=True))
        terms = [slice(*here.indptr[row : row + 2]) for row in range(len(nodes))]
        sums.append(
            [
                weighted_sum(out[row], here.data[term], [vectors[j] for j in here.indices[term].tolist()])
                for row, term in enumerate(terms)
            ]
        )

    def local_sum(iterations: int) -> None:
        for i in range(iterations):
            for write in sums[i % len(sums)]:
                write()

    baselines: dict[str, Case] = {"local_sum": local_sum, "copy": repeated(partial(np.copyto, *stacks))}
    if communicator.size == 1:
        return baselines

    from gossip.processes.mpi import MPI

    mpi = mpi_of(communicator)
    rank = communicator.rank
    sources = [each.neighbors(rank).tolist() for each in graph]
    targets = [[j for j in range(graph.n) if rank in each.neighbors(j)] for each in graph]

    def isend_irecv(iterations: int) -> None:
        for i in range(iterations):
            own = stacks[i % 2, 0]
            requests = [mpi.Irecv(others[j], j, TAG) for j in sources[i % period]]
            requests += [mpi.Isend(own, j, TAG) for j in targets[i % period]]
            MPI.Request.Waitall(requests)
            sums[i % len(sums)][0]()

    return baselines | {"isend_irecv": isend_irecv, "allreduce": repeated(partial(mpi.Allreduce, *stacks[:, 0]))}
