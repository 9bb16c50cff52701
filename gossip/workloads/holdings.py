"""Who has what: how many training examples of each label the nodes of a sharded workload have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from algorithms import ShardedWorkload


@runtime_checkable
class HasTargets(Protocol):
    """What a sharded workload gives whose examples have targets."""

    def targets_of(self, node: int) -> NDArray:
        """(m, ...): those of a node's training examples, integers if they are classes."""


@dataclass(frozen=True)
class Holdings:
    """What each node has.

    Attributes:
        labels: The labels in their order, or "examples" alone if there are no classes.
        counts: (n, labels) how many training examples of each.
    """

    labels: Sequence[str]
    counts: NDArray[np.int64]


def holdings(workload: ShardedWorkload, nodes: Sequence[int]) -> Holdings | None:
    """What these nodes have; None if there are no classes and all have as much."""
    if isinstance(workload, HasTargets):
        targets = [workload.targets_of(node) for node in nodes]
        if all(each.ndim == 1 and each.dtype.kind in "iu" for each in targets):
            labels = np.unique(np.concatenate(targets))
            rows = [np.bincount(np.searchsorted(labels, own), minlength=len(labels)) for own in targets]
            return Holdings([str(label) for label in labels.tolist()], np.array(rows))
    counts = np.array([[workload.examples(node)] for node in nodes])
    return Holdings(["examples"], counts) if np.ptp(counts) else None
