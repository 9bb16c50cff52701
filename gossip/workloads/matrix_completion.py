"""Completion of a symmetric matrix of low rank, whose minima are alike up to rotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Layout, Sample
from algorithms.checks import check
from algorithms.randomness import generator
from gossip.workloads.arrays import Array, ignoring_overflow
from gossip.workloads.splits import held_out
from gossip.workloads.workload import Read, Workload, check_examples, read_here


@dataclass(frozen=True)
class MatrixCompletion(Workload):
    """f(X) = mean over the observed (a, b) of (x_a . x_b - m_ab)^2 / 2, x_a the rows of X (size, rank), in float64.

    With X every X Q, Q orthogonal, is as good: what nodes find differs although their problem is the same, and the
    average of what they find can be worse than each. Every node has all entries that are observed, as the workers of
    Teng et al., NeurIPS 2019, arXiv 1905.10395, and starts at a point of its own.

    M = U U^T, with U (size, rank) normal and of variance 1 / rank. Of the entries a <= b a share is observed, and a
    fifth of those is held out for testing. They do not depend on the seed of the run, which decides where nodes start:
    at normal numbers of the same variance.

    Args:
        size: Rows of the matrix, >= 2.
        rank: Of it, and columns of X, >= 1.
        observed: Share of its entries, in (0, 1].
    """

    size: int = 50
    rank: int = 3
    observed: float = 0.5

    def __post_init__(self) -> None:
        check(self.size >= 2, self, "size", ">= 2")
        check(self.rank >= 1, self, "rank", ">= 1")
        enough = 0 < self.observed <= 1 and self._observed >= 5
        check(enough, self, "observed", "in (0, 1], and enough for 5 entries")

    @property
    def _observed(self) -> int:
        return round(self.observed * self.size * (self.size + 1) / 2)

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedMatrixCompletion:
        """The matrix, the same for all of n nodes."""
        draw = generator(0, "matrix completion", self.size, self.rank)
        u = draw.standard_normal((self.size, self.rank)) / np.sqrt(self.rank)
        places = np.stack(np.triu_indices(self.size), axis=1)
        places = places[draw.permutation(len(places))[: self._observed]]
        starts = [generator(seed, "start", node).standard_normal(u.size) / np.sqrt(self.rank) for node in range(n)]
        return ShardedMatrixCompletion(places, u, np.stack(starts))


class ShardedMatrixCompletion:
    """The problem with its data in place; made by `MatrixCompletion.shard`.

    Args:
        places: (m, 2), the observed entries.
        u: (size, rank), a factor of the matrix.
        starts: (n, size * rank), where each node starts.
    """

    def __init__(self, places: NDArray[np.int64], u: Array, starts: Array) -> None:
        train, test = held_out(len(places))
        self._places, self._test_places = places[train], places[test]
        self._shape, self._starts = u.shape, starts
        self._u = u
        self.layout = Layout.vector(u.size)

    @cached_property
    def _values(self) -> Array:
        return self._predictions(self._u, self._places)

    def initial(self) -> Tensor:
        """(n, d): each node's own."""
        return torch.from_numpy(self._starts.copy())

    def examples(self, node: int) -> int:
        """The number of observed entries that are not held out, the same for all."""
        return len(self._places)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`. Computed in float64."""
        if examples is not None:
            check_examples(examples, np.full(len(nodes), len(self._places)))
        gradient, losses = np.empty(x.shape), np.empty(len(x))
        for row, point in enumerate(self._points(x)):
            chosen = slice(None) if examples is None else examples[row].numpy()
            losses[row], gradient[row] = self._loss_and_gradient(point, self._places[chosen], self._values[chosen])
        return Sample(torch.from_numpy(gradient).to(x), torch.from_numpy(losses).to(x))

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss", over the held-out entries; "objective", over the others."""
        (point,) = self._points(x[None])
        test = self._loss_and_gradient(point, self._test_places, self._predictions(self._u, self._test_places))[0]
        return {"test_loss": test, "objective": self._loss_and_gradient(point, self._places, self._values)[0]}

    def _points(self, x: Tensor) -> Array:
        return np.ascontiguousarray(x.detach().double().numpy()).reshape(-1, *self._shape)

    def _predictions(self, x: Array, places: NDArray[np.int64]) -> Array:
        """(m,): the entries of X X^T at these places."""
        return np.einsum("er,er->e", x[places[:, 0]], x[places[:, 1]])

    @ignoring_overflow
    def _loss_and_gradient(self, x: Array, places: NDArray[np.int64], values: Array) -> tuple[float, Array]:
        errors = self._predictions(x, places) - values
        gradient = np.zeros_like(x)
        for a, b in (places.T, places.T[::-1]):
            np.add.at(gradient, a, errors[:, None] * x[b])  # one after the other
        return float(np.einsum("e,e->", errors, errors)) / (2 * len(places)), (gradient / len(places)).ravel()
