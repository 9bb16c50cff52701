"""`scale`: many nodes in few processes."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from algorithms import DecentralizedSGD, ShardedWorkload
from algorithms.randomness import generator
from gossip.bench.command import Command, TimeRow, block_option, option, whole
from gossip.bench.network.mix import mixing
from gossip.bench.timing import Case, interleaved, repeated
from gossip.network import Communicator, RunNetwork, connect
from gossip.workloads import LogisticRegression
from topologies import Schedule, random_regular, ring
from topologies.placement import blocks

LEARNING_RATE = 0.1
NEVER = 1 << 62  # iterations until an averaging
MOST_EXAMPLES = 32
FEATURE_BYTES = 1 << 30  # of all nodes, unless told otherwise


@dataclass(frozen=True)
class Scale(Command):
    """Logistic regression in float64, on the given number of nodes spread over the ranks, with a ring and a random
    4-regular graph. Averaging against a copy of the stack (copy); a step of decentralized SGD against its gradient
    (gradient); on several ranks the same step against one without communication (no_communication)."""

    nodes: int = option(10_000, "nodes on all ranks together", whole)
    dimension: int = option(1_000, "parameters of a node", whole)
    examples: int | None = option(
        None, f"examples of a node; by default as fit in 1 GiB, at most {MOST_EXAMPLES}", whole
    )
    block: float = block_option()

    def run(self, communicator: Communicator) -> list[TimeRow]:
        """Measure mixes and steps on both graphs; collective."""
        graphs = communicator.from_root(lambda: self._build(communicator.size))
        nodes = blocks(self.nodes, communicator.size)[communicator.rank]
        workload = self._workload(nodes)
        stack = np.ones((len(nodes), self.dimension))
        x = torch.zeros(len(nodes), self.dimension, dtype=torch.float64)
        cases = {
            "copy": repeated(partial(np.copyto, np.ones_like(stack), stack)),
            "gradient": repeated(partial(workload.gradient, x, range(len(nodes)))),
        }
        with ExitStack() as open_until_measured:

            def network(graph: Schedule) -> RunNetwork:
                return open_until_measured.enter_context(closing(connect(graph, communicator)))

            for graph in graphs:
                cases[f"mix {graph.name}"] = mixing(network(graph), self.dimension, torch.float64)
                cases[f"step {graph.name}"] = _stepping(DecentralizedSGD(LEARNING_RATE), workload, network(graph))
            silent = DecentralizedSGD(LEARNING_RATE, period=NEVER)
            cases["no_communication"] = _stepping(silent, workload, network(graphs[0]))
            seconds = interleaved(cases, self.repeats, communicator, shortest=self.block)

        baselines = {"mix": ["copy"], "step": ["gradient", *(["no_communication"] if communicator.size > 1 else [])]}
        return [
            TimeRow(
                case=case,
                transport="auto" if communicator.size > 1 else "none",
                topology=graph.name,
                ranks=communicator.size,
                dimension=self.dimension,
                seconds=seconds[f"{case} {graph.name}"],
                baseline=baseline,
                baseline_seconds=seconds[baseline],
            )
            for graph in graphs
            for case in baselines
            for baseline in baselines[case]
        ]

    def _build(self, ranks: int) -> list[Schedule]:
        blocks(self.nodes, ranks)  # refuses more ranks than nodes
        return [ring(self.nodes), random_regular(self.nodes, min(4, self.nodes - 1))]

    def _workload(self, nodes: range) -> ShardedWorkload:
        """Random data of the local nodes, as a workload of these alone."""
        d = self.dimension
        m = self.examples or max(1, min(MOST_EXAMPLES, FEATURE_BYTES // (8 * d * self.nodes)))
        random = generator(0, "bench", nodes[0])
        features = random.standard_normal((len(nodes), m, d))
        labels = random.integers(2, size=(len(nodes), m))
        return LogisticRegression(features, labels).shard(len(nodes), seed=0)


def _stepping(algorithm: DecentralizedSGD, workload: ShardedWorkload, network: RunNetwork) -> Case:
    """Whole iterations: gradients and what the algorithm does with them."""
    k = len(network.nodes)
    state = algorithm.start(workload.initial().repeat(k, 1), network)
    network.finish_step()

    def step(iterations: int) -> None:
        for _ in range(iterations):
            algorithm.post(state, network)
            algorithm.advance(state, workload.gradient(state.x, range(k)), network)

    return step
