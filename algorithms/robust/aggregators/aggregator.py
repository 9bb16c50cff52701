"""How one row is made of several, some of which may be forged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.randomness import Draw


@dataclass(frozen=True)
class Aggregator:
    """How a node or a server makes one row of several, some of which may be forged. Its fields are its parameters.

    It depends on nothing but its arguments, so that it has the same bits wherever it is computed.
    """

    counts_own: ClassVar[bool] = True
    """Whether a node's own row is one of those that the rule is about, where it has one; see `beside`."""

    remembers: ClassVar[bool] = False
    """Whether it knows nodes by their past, see `recall`: for a server, which knows whose row is whose."""

    def aggregate(self, rows: Tensor, center: Tensor, draw: Draw) -> Tensor:
        """(d,), made of rows (m, d).

        Args:
            rows: What m others sent, in the order of their numbers. Left as it is.
            center: (d,), what is known without them: the last aggregate, or a node's own row.
            draw: A random stream of one row, for rules that draw.
        """
        raise NotImplementedError

    def recall(self, rows: Tensor, memory: Tensor, center: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """(d,), made of rows (m, d) and of what it remembers of those who sent them, and what it remembers after it.

        By default that is `aggregate`, and nothing changes.

        Args:
            rows: See `aggregate`.
            memory: (m, d), of the same nodes; zeros at the start. Left as it is.
            center: See `aggregate`.
            draw: See `aggregate`.
        """
        return self.aggregate(rows, center, draw), memory

    def beside(self, own: Tensor, rows: Tensor, weights: Tensor, draw: Draw) -> Tensor:
        """(d,), made of a node's own row, which it trusts, and those of its neighbours; by default of all alike.

        Args:
            own: (d,), the node's own row.
            rows: (m, d), those of its m >= 0 neighbours, in the order of their numbers. Left as they are.
            weights: (m,), what the mixing matrix gives them, for rules that weigh.
            draw: A random stream of one row.
        """
        return self.aggregate(torch.cat([own[None], rows]), own, draw)

    def check_rows(self, rows: int) -> None:
        """Refuse a number of rows of which it can make nothing.

        Raises:
            ValueError: There are too few, and how many it needs.
        """


def refuse(aggregator: Aggregator, rows: int, least: int, why: str) -> None:
    """Refuse fewer rows than an aggregator needs."""
    if rows < least:
        raise ValueError(f"{type(aggregator).__name__}: {why} needs {least} rows or more, and there are {rows}")
