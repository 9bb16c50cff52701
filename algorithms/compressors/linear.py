"""Operators that are linear, so that a network can average what they make of vectors in place of the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.randomness import Draw
from algorithms.state import Block


class Averaging(Protocol):
    """What averages over all nodes; a `Network` does."""

    def mean(self, value: Tensor) -> Tensor:
        """The average of a stack (k, m) over all nodes, (m,), the same bits on every rank."""


@dataclass(frozen=True)
class LinearCompressor(Compressor):
    """An operator that is linear, given what all nodes draw in common in a round and what it remembers.

    Vectors x (d,) are projected to p (m,), and p is what a vector is reconstructed from: C(x) = R(A x) with linear maps
    A, which may differ between nodes, and R, which may not. So the average of what all nodes make of their vectors is
    made from the average of their projections,

        (1/n) sum_i R(A_i x_i) = R((1/n) sum_i A_i x_i),

    up to rounding, and the network carries m numbers for each node instead of d: an all-reduce in the compressed
    domain.
    """

    def project(self, x: Tensor, draw: Draw, memory: Block | None = None) -> Tensor:
        """A x for each row of a stack (k, d): (k, m), in single or double precision.

        Args:
            x: The stack.
            draw: The random streams of the round.
            memory: What `start` gave, if the operator remembers; stays as it is.

        Raises:
            ValueError: if the operator as it is set up is not linear.
            NonFiniteError: if the stack holds NaN or infinity.
        """
        raise NotImplementedError

    def reconstruct(self, p: Tensor, draw: Draw, memory: Block | None = None, *, d: int) -> Tensor:
        """R p: vectors (..., d) from projections (..., m) or averages of them, with `project`'s draw and memory."""
        raise NotImplementedError

    @property
    def linear(self) -> bool:
        """Whether it is linear as it is set up."""
        return True

    def mean(self, x: Tensor, network: Averaging, draw: Draw, memory: Block | None = None) -> Tensor:
        """The average over all nodes of what the operator makes of their rows, (d,), the same on every rank.

        Sent: what the network's `mean` of m numbers takes.

        Args:
            x: The stack of the local nodes.
            network: Averages the projections; every rank must call this.
            draw: The random streams of the round.
            memory: What `start` gave, if the operator remembers; it is brought up to date in place.
        """
        average = network.mean(self.project(x, draw, memory))
        return self.reconstruct(average, draw, memory, d=x.shape[1]).to(x.dtype)

    def mean_and_own(
        self, x: Tensor, network: Averaging, draw: Draw, memory: Block | None = None
    ) -> tuple[Tensor, Tensor]:
        """(what `mean` gives, (d,); what each local node has got across with it, (k, d), whose average that is)."""
        p = self.project(x, draw, memory)
        average = self.reconstruct(network.mean(p), draw, memory, d=x.shape[1])
        return average.to(x.dtype), self.reconstruct(p, draw, memory, d=x.shape[1]).to(x.dtype)


def entries_of(rows: Tensor, kept: Tensor, factor: float) -> Tensor:
    """(k, m) the entries of rows (k, d) with these indices (m,), times a factor."""
    values = rows.index_select(1, kept.to(rows.device))
    return values if factor == 1 else values * factor


def vectors_of(values: Tensor, kept: Tensor, d: int) -> Tensor:
    """(..., d) vectors that have these values (..., m) at these indices (m,) and zeros elsewhere."""
    vectors = torch.zeros(*values.shape[:-1], d, dtype=values.dtype, device=values.device)
    return vectors.index_copy_(-1, kept.to(values.device), values)
