"""What a split is: a rule by which the training examples are divided over the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def without_empty(shards: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """These index arrays, of which each that is empty has got the last example of the largest one."""
    found = list(shards)
    for node, shard in enumerate(found):
        if len(shard) == 0:
            # There are as many examples as nodes, so while one is empty another one holds at least two.
            largest = max(range(len(found)), key=lambda other: len(found[other]))
            found[node], found[largest] = found[largest][-1:], found[largest][:-1]
    return found


def check_enough(labels: NDArray, n: int) -> None:
    """Refuse fewer examples than nodes."""
    if not 1 <= n <= len(labels):
        raise ValueError(f"{len(labels)} training examples cannot be split over {n} nodes, at least one each")


def check_one_label_each(split: Split, labels: NDArray) -> None:
    """Refuse targets of several numbers."""
    if labels.ndim != 1:
        name = type(split).__name__
        raise ValueError(f"{name} needs one label per example, the targets have shape {labels.shape}")
