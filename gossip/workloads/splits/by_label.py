"""Splits by labels, so that nodes have different classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.workloads.splits.split import Split, check_enough, check_one_label_each, without_empty


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
        check_enough(labels, n)
        check_one_label_each(self, labels)
        draw = generator(seed, "split")
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(n)]
        for label in np.unique(labels):
            members = draw.permutation(np.flatnonzero(labels == label))
            proportions = draw.dirichlet(np.full(n, self.alpha))
            cuts = np.rint(np.cumsum(proportions[:-1]) * len(members)).astype(np.int64)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        return without_empty([np.concatenate(part) for part in parts])


@dataclass(frozen=True)
class ByLabel(Split):
    """The strongest label skew: the examples are sorted by label and cut into one part per node.

    The sizes of the parts differ by at most one. Examples of one label are in random order.
    """

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        check_enough(labels, n)
        check_one_label_each(self, labels)
        order = generator(seed, "split").permutation(len(labels))
        return np.array_split(order[np.argsort(labels[order], kind="stable")], n)


@dataclass(frozen=True)
class LabelShards(Split):
    """McMahan's shards: sorted by label, cut into n times `shards` parts, of which each node gets as many by lot.

    A node has about so many labels, or fewer; a part that lies over a border has two. Sizes of parts differ by at most
    one. Examples of one label are in random order. McMahan, Moore, Ramage, Hampson, Aguera y Arcas, AISTATS 2017,
    arXiv 1602.05629, give each of 100 clients two shards of 300 MNIST images. For exactly k labels: `LabelsEach`.

    Args:
        shards: Of each node, >= 1.
    """

    shards: int = 2

    def __post_init__(self) -> None:
        check(self.shards >= 1, self, "shards", ">= 1")

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`.

        Raises:
            ValueError: There are fewer examples than shards.
        """
        check_enough(labels, n)
        check_one_label_each(self, labels)
        count = n * self.shards
        if count > len(labels):
            raise ValueError(
                f"LabelShards: {len(labels)} examples cannot be cut into {self.shards} shards for {n} nodes"
            )
        draw = generator(seed, "split")
        order = draw.permutation(len(labels))
        parts = np.array_split(order[np.argsort(labels[order], kind="stable")], count)
        dealt = draw.permutation(count).reshape(n, self.shards)
        return [np.concatenate([parts[part] for part in own]) for own in dealt.tolist()]


@dataclass(frozen=True)
class LabelsEach(Split):
    """Each node has exactly k labels, by lot; each label is held by as many nodes as any other, or by one more.

    The examples of a label, in random order, are cut into parts for the nodes that hold it, whose sizes differ by at
    most one. As in Li, Diao, Chen, He, ICDE 2022, arXiv 2102.02079, where node i has label i mod C and k - 1 others.

    Args:
        labels: k, >= 1.
    """

    labels: int = 2

    def __post_init__(self) -> None:
        check(self.labels >= 1, self, "labels", ">= 1")

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`.

        Raises:
            ValueError: There are fewer labels than k, or more than the nodes can hold; or too few examples of one.
        """
        check_enough(labels, n)
        check_one_label_each(self, labels)
        kinds = np.unique(labels)
        least, most = -(-len(kinds) // n), len(kinds)
        if not least <= self.labels <= most:
            raise ValueError(
                f"LabelsEach: labels = {self.labels} is not allowed; with {most} labels and {n} nodes it must be in "
                f"[{least}, {most}], so that all are held"
            )
        draw = generator(seed, "split")
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(n)]
        for label, holders in zip(kinds, self._holders(len(kinds), n, draw), strict=True):
            members = draw.permutation(np.flatnonzero(labels == label))
            if len(members) < len(holders):
                raise ValueError(
                    f"LabelsEach: label {label} has {len(members)} examples, too few for the {len(holders)} nodes that "
                    f"would hold it; take fewer labels each, or fewer nodes"
                )
            for node, piece in zip(holders, np.array_split(members, len(holders)), strict=True):
                parts[node].append(piece)
        return [np.concatenate(part) for part in parts]

    def _holders(self, kinds: int, n: int, draw: np.random.Generator) -> list[list[int]]:
        """For each of so many labels the nodes that hold it: they are dealt like cards, from one deck after another."""
        holders: list[list[int]] = [[] for _ in range(kinds)]
        deck: list[int] = []
        for node in range(n):
            held: set[int] = set()
            while len(held) < self.labels:
                if not deck:  # what this node holds lies at the bottom of the next one
                    deck = sorted(draw.permutation(kinds).tolist(), key=lambda label: label not in held)
                label = deck.pop()
                held.add(label)
                holders[label].append(node)
        return holders
