"""`consensus`: rounds of averaging many small vectors in one process, against one pass over the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from gossip.bench.command import TOPOLOGIES, Command, TimeRow, block_option, option, whole
from gossip.bench.network.mix import mixing
from gossip.bench.timing import interleaved, repeated
from gossip.network import Communicator, connect


@dataclass(frozen=True)
class Consensus(Command):
    """Rounds of consensus of many nodes with short float32 vectors in one process. The time is that of one round. The
    baseline is one pass over the data, a copy of all vectors (copy)."""

    topology: tuple[str, ...] = option(("ring", "random_regular"), "who talks to whom", choices=TOPOLOGIES)
    nodes: int = option(100_000, "number of nodes", whole)
    dimension: tuple[int, ...] = option((16,), "entries of a vector", whole)
    rounds: int = option(1_000, "rounds of a timed block", whole)
    repeats: int = option(3, "timed blocks, of which the median counts", whole)
    block: float = block_option()

    def run(self, communicator: Communicator) -> Sequence[TimeRow]:
        """Measure each topology with each dimension; in a single process."""
        if communicator.size > 1:
            raise ValueError(f"consensus runs in a single process, not on {communicator.size} ranks")
        rows = []
        for name in self.topology:
            network = connect(TOPOLOGIES[name](self.nodes), communicator)
            for d in self.dimension:
                copy = repeated(partial(np.copyto, *np.ones((2, self.nodes, d), np.float32)))
                cases = {"rounds": mixing(network, d, torch.float32), "copy": copy}
                seconds = interleaved(cases, self.repeats, communicator, self.rounds, shortest=self.block)
                rows.append(TimeRow("consensus", None, name, 1, d, seconds["rounds"], "copy", seconds["copy"]))
            network.close()
        return rows
