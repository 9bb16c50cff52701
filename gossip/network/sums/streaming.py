"""Whether to write what other cores read next past the caches: measured, from time to time, while it is done."""

from __future__ import annotations

TRIED = 8  # sums in a row of each kind
PERIOD = 512  # sums from one trial to the next


class Trial:
    """Chooses between writing through the caches and past them.

    What another core has just written comes from its cache fast where both share a cache, and slower than from
    memory where they do not: a factor of two either way. Ranks that count the same sums try the same at the same
    time, so that each reads what was written in the way that it tries.

    Attributes:
        stream: How to write the next sum.
    """

    def __init__(self) -> None:
        self.stream = False
        self._sums = 0
        self._shortest = [float("inf")] * 2

    def took(self, seconds: float) -> None:
        """The next sum was written so; the shortest time of a kind counts, as an interruption only makes it longer."""
        if self._sums % TRIED > 1:  # at first what is read was written in the other way
            self._shortest[self.stream] = min(self._shortest[self.stream], seconds)
        self._sums = (self._sums + 1) % PERIOD
        if self._sums == TRIED:
            self.stream = True
        elif self._sums == 2 * TRIED:
            self.stream = self._shortest[True] < self._shortest[False]
        elif self._sums == 0:
            self.stream = False
            self._shortest = [float("inf")] * 2
