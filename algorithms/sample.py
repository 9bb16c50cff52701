"""A sample of some of the local nodes."""

from __future__ import annotations

from torch import Tensor

from algorithms.algorithm import Losses, Sample
from algorithms.numerics.rows import placed
from algorithms.state import Rows


class SampleOfSome(Sample):
    """A sample of some of the local nodes, which says 0 of the others; the whole gradient is made when it is asked for.

    Args:
        some: Of those nodes.
        rows: Theirs, ascending.
        k: How many rows there are.
        losses: See `Sample`.
    """

    __slots__ = ("_all", "_k", "_rows", "_some")

    def __init__(self, some: Sample, rows: Rows, k: int, losses: Losses | None = None) -> None:
        self._some, self._rows, self._k = some.gradient, rows, k
        self._all: Tensor | None = None
        self.loss = placed(some.loss, rows, k)
        self.norms = None if some.norms is None else placed(some.norms, rows, k)
        self.losses = losses

    @property
    def gradient(self) -> Tensor:  # type: ignore[override]
        """(k, d)."""
        if self._all is None:
            self._all = placed(self._some, self._rows, self._k)
        return self._all

    def of(self, rows: Rows) -> Tensor:
        return self._some if rows == self._rows else self.gradient[rows]
