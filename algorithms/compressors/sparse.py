"""What sparsifiers with a fixed number of kept entries share."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.checks import check
from algorithms.compressors.message import Compressor


@dataclass(frozen=True)
class Sparsifier(Compressor):
    """Keeps k of the d entries.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
    """

    fraction: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.k is None):
            raise ValueError(f"{type(self).__name__}: give exactly one of fraction (in (0, 1]) and k (>= 1)")
        check(self.fraction is None or 0 < self.fraction <= 1, self, "fraction", "in (0, 1]")
        check(self.k is None or self.k >= 1, self, "k", ">= 1")

    def kept(self, d: int) -> int:
        """Number of entries kept of d.

        Raises:
            ValueError: if a fixed k is larger than d.
        """
        if self.fraction is not None:
            return max(1, int(self.fraction * d))
        assert self.k is not None
        check(self.k <= d, self, "k", f"at most d = {d}, the number of parameters")
        return self.k

    def check_dimension(self, d: int) -> None:
        self.kept(d)
