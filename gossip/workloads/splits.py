"""How the training examples are divided over the nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.errors import UsageError, blaming


@dataclass(frozen=True)
class Split:
    """A rule that gives training examples to nodes, each to one of them unless it says otherwise.

    Its fields are its parameters.
    """

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """The examples of each node: n index arrays, none of them empty, that together hold 0..m-1 once as a rule.

        A pure function of its arguments.

        Args:
            labels: (m,), the label of each example.
            n: Number of nodes, n >= 1; n <= m where an example is given to one node alone.
            seed: Decides what the rule leaves open.

        Raises:
            ValueError: There are fewer examples than nodes, or the rule cannot use these labels.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Iid(Split):
    """The examples in random order, cut into parts whose sizes differ by at most one."""

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        _check_enough(labels, n)
        return np.array_split(generator(seed, "split").permutation(len(labels)), n)


@dataclass(frozen=True)
class Dirichlet(Split):
    """Label skew: each class is divided over the nodes in proportions drawn from Dir(alpha, ..., alpha).

    Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", 2019 (arXiv 1909.06335), draw the class proportions of each client and give all clients
    equally many examples. This is the form common since, which draws class by class as in Yurochkin et al.,
    "Bayesian nonparametric federated learning of neural networks", ICML 2019 (arXiv 1905.12022), so that the
    shards differ in size too. A node left with nothing gets an example of the largest node.

    Args:
        alpha: Concentration, > 0: towards 0 each class lies on one node, towards infinity every node has the
            same mixture.
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        check(0 < self.alpha < np.inf, self, "alpha", "> 0")

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        _check_enough(labels, n)
        _check_one_label_each(self, labels)
        draw = generator(seed, "split")
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(n)]
        for label in np.unique(labels):
            members = draw.permutation(np.flatnonzero(labels == label))
            proportions = draw.dirichlet(np.full(n, self.alpha))
            cuts = np.rint(np.cumsum(proportions[:-1]) * len(members)).astype(np.int64)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        shards = [np.concatenate(part) for part in parts]
        for node in range(n):
            if len(shards[node]) == 0:
                # m >= n, so while one node is empty another one holds at least two.
                largest = max(range(n), key=lambda other: len(shards[other]))
                shards[node], shards[largest] = shards[largest][-1:], shards[largest][:-1]
        return shards


@dataclass(frozen=True)
class ByLabel(Split):
    """The strongest label skew: the examples are sorted by label and cut into one part per node.

    The sizes of the parts differ by at most one. Examples of one label are in random order.
    """

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        _check_enough(labels, n)
        _check_one_label_each(self, labels)
        order = generator(seed, "split").permutation(len(labels))
        return np.array_split(order[np.argsort(labels[order], kind="stable")], n)


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
            _check_enough(labels, n)
        return list(generator(seed, "split").integers(len(labels), size=(n, self.examples)))


def shards_of(split: Split, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
    """What a rule gives to each of n nodes.

    Raises:
        ValueError: That is no division over n nodes, or a node has no example.
    """
    name = type(split).__name__
    with blaming(f"the split {name} fails on {len(labels)} examples for {n} nodes"):
        parts = [np.asarray(part) for part in split.assign(labels, n, seed)]
    if len(parts) != n:
        raise UsageError(f"the split {name} gives {len(parts)} parts for {n} nodes; it must give one for each")
    for node, part in enumerate(parts):
        if part.ndim == 1 and not len(part):
            raise UsageError(f"the split {name} gives node {node} no example; every node needs at least one")
        if part.ndim != 1 or part.dtype.kind not in "iu" or part.min() < 0 or part.max() >= len(labels):
            raise UsageError(
                f"the split {name} gives node {node} what is not a list of numbers of examples, 0 to {len(labels) - 1}"
            )
    return [part.astype(np.int64, copy=False) for part in parts]


def held_out(m: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The training and the test examples of a data set of m without a test set: 80 % and 20 %, rounded down.

    One fixed random choice, the same in every run whatever its seed, so that results can be compared.
    """
    if m < 5:
        raise ValueError(f"a fifth of the examples is held out for testing; {m} are too few, 5 is the least")
    order = generator(0, "held out").permutation(m)
    return order[m // 5 :], order[: m // 5]


def _check_enough(labels: NDArray, n: int) -> None:
    if not 1 <= n <= len(labels):
        raise ValueError(f"{len(labels)} training examples cannot be split over {n} nodes, at least one each")


def _check_one_label_each(split: Split, labels: NDArray) -> None:
    if labels.ndim != 1:
        name = type(split).__name__
        raise ValueError(f"{name} needs one label per example, the targets have shape {labels.shape}")
