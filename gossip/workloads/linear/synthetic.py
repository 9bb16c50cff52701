"""Logistic regression on data that are made for any number of nodes, with chosen heterogeneity and condition number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.workloads.arrays import Array
from gossip.workloads.linear.logistic_regression import ShardedLogisticRegression
from gossip.workloads.linear.two_classes import Divided
from gossip.workloads.workload import Read, Workload, read_here

PURPOSE = "synthetic"  # of the draws


@dataclass(frozen=True)
class SyntheticLogisticRegression(Workload):
    """Logistic regression on drawn data: node i has a model of its own, w_i, and examples that follow it.

    As Synthetic(alpha, 0) of Li et al., "Federated optimization in heterogeneous networks", MLSys 2020 (1812.06127),
    here with two classes. Features a are normal with mean 0 and variances from 1 down to 1 / condition, evenly spaced
    on a logarithmic scale: without l2 and at x = 0, `condition` is the condition number of the expected loss's
    Hessian. The label of a is +1 with probability 1 / (1 + exp(-a . w_i)), where w_i = w + heterogeneity u_i, w and all
    u_i standard normal. What a node has depends on the seed of the run and its own number alone, not on how many nodes
    there are.

    The loss is that of `LogisticRegression`, in float64, from parameters of zero. Test examples come from nodes that
    are evenly spaced over all, so that they are as the nodes' are on average.

    Args:
        examples: Training examples of each node, >= 1.
        dimension: Number of features, d >= 1.
        heterogeneity: How much the nodes' models differ, >= 0; with 0 all nodes have examples of one distribution.
        condition: The largest variance of a feature over the smallest, >= 1.
        l2: Weight of the squared norm, >= 0.
        test_examples: Number of examples for testing, >= 1.
    """

    examples: int = 16
    dimension: int = 20
    heterogeneity: float = 1.0
    condition: float = 10.0
    l2: float = 1e-3
    test_examples: int = 1000

    def __post_init__(self) -> None:
        for name in ("examples", "dimension", "test_examples"):
            check(getattr(self, name) >= 1, self, name, ">= 1")
        for name, least in (("heterogeneity", 0), ("condition", 1), ("l2", 0)):
            check(least <= getattr(self, name) < np.inf, self, name, f">= {least}")

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedLogisticRegression:
        """The data of n nodes."""
        common = generator(seed, PURPOSE).standard_normal(self.dimension)
        features = np.empty((n, self.examples, self.dimension))
        labels = np.empty((n, self.examples))
        for node in range(n):
            features[node], labels[node] = self._drawn(common, node, seed, "training", self.examples)
        shares = np.bincount(np.arange(self.test_examples) * n // self.test_examples, minlength=n)
        test = [self._drawn(common, node, seed, "test", int(shares[node])) for node in np.flatnonzero(shares).tolist()]
        data = Divided(
            features.reshape(-1, self.dimension),
            labels.reshape(-1),
            [self.examples] * n,
            np.concatenate([each for each, _ in test]),
            np.concatenate([each for _, each in test]),
        )
        return ShardedLogisticRegression(data, "logistic", self.l2)

    def _drawn(self, common: Array, node: int, seed: int, use: str, number: int) -> tuple[Array, Array]:
        """Features (number, d) and labels (number,) of a node."""
        own = generator(seed, f"{PURPOSE} model", node).standard_normal(self.dimension)
        draw = generator(seed, f"{PURPOSE} {use}", node)
        deviations = np.logspace(0, -np.log10(self.condition) / 2, self.dimension)
        features = draw.standard_normal((number, self.dimension)) * deviations
        # Not by BLAS, whose sums may depend on the machine's threads.
        margins = np.einsum("md,d->m", features, common + self.heterogeneity * own)
        return features, np.where(draw.logistic(size=number) < margins, 1.0, -1.0)
