"""Counter-based randomness: a draw depends on (seed, purpose, node, round) and on nothing else.

Never on the hosting rank or on the order of calls, so a run is the same on any number of ranks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """An independent stream for this seed, purpose (any text) and these non-negative counters."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *counters])


@dataclass(frozen=True)
class Draw:
    """The random streams of one round, one per row of a stack."""

    seed: int
    purpose: str
    nodes: Sequence[int]
    round: int

    def generator(self, row: int) -> np.random.Generator:
        """The stream of the node that lives in this row."""
        return generator(self.seed, self.purpose, self.nodes[row], self.round)

    def key(self, row: int) -> int:
        """64 random bits of the node that lives in this row."""
        return int(self.generator(row).integers(1 << 64, dtype=np.uint64))
