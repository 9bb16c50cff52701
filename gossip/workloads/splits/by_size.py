"""Splits that do not look at labels: nodes have examples alike, and maybe more or less of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.workloads.splits.split import Split, check_enough, without_empty


@dataclass(frozen=True)
class Iid(Split):
    """The examples in random order, cut into parts whose sizes differ by at most one."""

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        check_enough(labels, n)
        return np.array_split(generator(seed, "split").permutation(len(labels)), n)


@dataclass(frozen=True)
class DirichletSizes(Split):
    """Quantity skew: the examples in random order, cut into parts whose sizes are drawn from Dir(alpha, ..., alpha).

    The nodes' data are alike but for how many they are, as in Li, Diao, Chen, He, "Federated Learning on Non-IID Data
    Silos", ICDE 2022 (arXiv 2102.02079). A node left with nothing gets an example of the largest node.

    Args:
        alpha: Concentration, > 0: towards 0 one node has nearly all, towards infinity all have as many.
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        check(0 < self.alpha < np.inf, self, "alpha", "> 0")

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        check_enough(labels, n)
        draw = generator(seed, "split")
        order = draw.permutation(len(labels))
        ends = np.cumsum(draw.dirichlet(np.full(n, self.alpha))[:-1])
        return without_empty(np.split(order, np.rint(ends * len(order)).astype(np.int64)))


@dataclass(frozen=True)
class WithReplacement(Split):
    """So many examples for each node, drawn independently of each other from all of them, by the seed.

    An example may lie on several nodes, or twice on one. For more nodes than a data set has enough examples for: 1,000
    nodes of 32 images each from 4,000. What a node has does not depend on how many nodes there are.

    Args:
        examples: Of each node, >= 1.
    """

    examples: int = 32

    def __post_init__(self) -> None:
        check(self.examples >= 1, self, "examples", ">= 1")

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`; n may be larger than m."""
        if not len(labels) or n < 1:
            check_enough(labels, n)
        return list(generator(seed, "split").integers(len(labels), size=(n, self.examples)))
