"""Distributed averaging: every node holds a vector, and all want to know the average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Layout, Sample
from algorithms.checks import check
from algorithms.randomness import generator
from gossip.workloads.arrays import Array, as_array
from gossip.workloads.workload import Read, Workload, check_examples, read_here


@dataclass(frozen=True, eq=False)
class Averaging(Workload):
    """f_i(x) = 1/2 |x - v_i|^2, in float64: the optimum is the average of the v_i, where the nodes start.

    For methods of consensus alone, which use no gradients, and for any other as the simplest heterogeneous problem.
    Every node has one example, its vector. There is nothing held out.

    Args:
        dimension: Length of the vectors where they are drawn: standard normal, by the seed of the run.
        values: (n, d), the vectors themselves instead; a NumPy array or a tensor.
    """

    dimension: int = 10
    values: NDArray | Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check(self.dimension >= 1, self, "dimension", ">= 1")
        if self.values is None:
            return
        if self._values.ndim != 2 or not self._values.size or not np.isfinite(self._values).all():
            raise ValueError(f"Averaging: values must be (n, d), finite, not 0; they are {self._values.shape}")

    @cached_property
    def _values(self) -> Array:
        assert self.values is not None
        return as_array(self.values)

    def shard(self, n: int, seed: int, read: Read = read_here) -> Averaging:
        """This object, with the vectors of n nodes.

        Raises:
            ValueError: Those given are for another number of nodes.
        """
        if self.values is None:
            drawn = [generator(seed, "values", node).standard_normal(self.dimension) for node in range(n)]
            return replace(self, values=np.stack(drawn))
        if n != len(self._values):
            raise ValueError(f"Averaging: the values are for {len(self._values)} nodes, the topology has {n}")
        return self

    @property
    def layout(self) -> Layout:
        """One vector of d numbers."""
        return Layout.vector(self._values.shape[1])

    def initial(self) -> Tensor:
        """(n, d): each node starts at its own vector."""
        return torch.from_numpy(self._values.copy())

    def examples(self, node: int) -> int:
        """1."""
        return 1

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`."""
        if examples is not None:
            check_examples(examples, np.ones(len(nodes), np.int64))
        gradient = x - torch.from_numpy(self._values[list(nodes)]).to(x)
        return Sample(gradient, torch.tensor([_half_square(row) for row in gradient], dtype=x.dtype))

    @property
    def optimum(self) -> Tensor:
        """(d,): the average."""
        return torch.from_numpy(self._values.mean(axis=0))

    def objective(self, x: Tensor) -> float:
        """(1/n) sum_i f_i(x) of one model x (d,)."""
        return float(np.mean([_half_square(x.detach().double() - value) for value in self.initial()]))

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss": the objective; "distance_to_optimum": |x - average|."""
        distance = torch.linalg.vector_norm(x.detach().double() - self.optimum)
        return {"test_loss": self.objective(x), "distance_to_optimum": float(distance)}


def _half_square(row: Tensor) -> float:
    """|x|^2 / 2 of one vector, in an order of summation that depends on nothing else."""
    return float(np.einsum("d,d->", row.numpy(), row.numpy())) / 2
