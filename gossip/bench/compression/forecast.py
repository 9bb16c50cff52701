"""How long an operator is going to take, told from shorter vectors, before anybody waits for longer ones."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from algorithms import Compressor, Layout
from algorithms.randomness import Draw, generator
from gossip.bench.timing import once, repeated
from gossip.console.table import duration
from gossip.network import Communicator

SHORTEST = 1000  # entries of the first vector that is timed
GROWTH = 10  # from one length that is timed to the next


class DurationForecast:
    """Times encodings of longer and longer vectors, as long as the next one is expected not to take too long.

    Args:
        compressor: The operator.
        patience: Seconds that an encoding may take.
        communicator: The ranks, which all measure; the slowest counts.
    """

    def __init__(self, compressor: Compressor, patience: float, communicator: Communicator) -> None:
        self.compressor, self.patience, self.communicator = compressor, patience, communicator
        self._timed: list[tuple[int, float]] = []  # numbers of entries and seconds

    def objection(self, d: int) -> str | None:
        """Why vectors of d entries should be left out, None if they should not; collective."""
        try:
            self.compressor.check_dimension(d)
        except ValueError as error:  # the same on every rank
            return str(error)
        size = 0
        for size in self._sizes(d):
            if self._expected(size) > self.patience:
                break
            self._time(size)
        if self._expected(d) <= self.patience:
            return None
        size, seconds = self._timed[-1]
        return f"it takes {duration(seconds)} for {size:,} entries already; --patience allows more"

    def _sizes(self, d: int) -> list[int]:
        """Those to time on the way to d entries, d included."""
        sizes = [self._timed[-1][0] * GROWTH if self._timed else SHORTEST]
        while sizes[-1] < d:
            sizes.append(GROWTH * sizes[-1])
        return [*sizes[:-1], d]

    def _time(self, d: int) -> None:
        """Time vectors of d entries, if the operator takes such."""
        try:
            self.compressor.check_dimension(d)
        except ValueError:
            return
        operator, x, draw = prepared(self.compressor, d, self.communicator.rank)
        self._timed.append((d, once(repeated(partial(operator.compress, x, draw)), self.communicator)))

    def _expected(self, d: int) -> float:
        """Seconds for d entries if time goes on growing as between the last two lengths, at least in proportion."""
        if not self._timed:
            return 0.0
        size, seconds = self._timed[-1]
        order = 1.0
        if len(self._timed) > 1:
            before, less = self._timed[-2]
            order = max(order, math.log(seconds / less) / math.log(size / before))
        return seconds * max(1.0, d / size) ** order


def prepared(compressor: Compressor, d: int, rank: int) -> tuple[Compressor, Tensor, Draw]:
    """The operator for a Gaussian vector that holds one matrix, as square as can be, and a rest; the vector (1, d)."""
    side = math.isqrt(d)
    shapes = {"matrix": (side, d // side), "rest": (d - side * (d // side),)}
    x = torch.from_numpy(generator(0, "bench", rank).standard_normal((1, d), np.float32))
    return compressor.for_layout(Layout(shapes)), x, Draw(0, "bench", [rank], 0)
