"""Data of two classes for linear models: given ones, or scikit-learn's breast cancer data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gossip.workloads.arrays import Array, as_array
from gossip.workloads.linear.model import LinearModel, Loss
from gossip.workloads.splits import Split, held_out, shards_of
from gossip.workloads.workload import Arrays, Read

TwoClasses = tuple[Array, Array]
"""Features (m, d) and labels (m,); or (n, m, d) and (n, m), already divided over the nodes."""


class Divided(NamedTuple):
    """The data of all nodes, one after another, with labels -1 and +1."""

    features: Array
    labels: Array
    sizes: Sequence[int]
    test_features: Array
    test_labels: Array


class TwoClassModel(LinearModel):
    """A linear model with its training and test data.

    Args:
        data: Both.
        loss: See `LinearModel`.
        l2: Weight of the squared norm.
        l1: Weight of |x|_1, which is part of what is evaluated, not of the gradients.
    """

    def __init__(self, data: Divided, loss: Loss, l2: float, l1: float = 0.0) -> None:
        super().__init__(data.features, data.labels, data.sizes, loss, l2)
        self._test = data.test_features, data.test_labels
        self._l1 = l1

    def with_flipped_labels(self, nodes: Sequence[int]) -> Self:
        """See `HasLabels`."""
        changed = copy.copy(self)
        changed._targets = self._targets.copy()
        for node in nodes:
            own = slice(self._starts[node], self._starts[node] + self._sizes[node])
            changed._targets[own] = -self._targets[own]
        return changed

    def with_changed_inputs(self, change: Callable[[int, Array], Array]) -> Self:
        """See `HasInputs`."""
        changed = copy.copy(self)
        rows = [change(node, self.features_and_targets(node)[0]) for node in range(len(self._sizes))]
        changed._features = np.ascontiguousarray(np.concatenate(rows))
        return changed

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss", with the l2 and the l1 term, and "test_accuracy" in 0..1.

        On the held-out data; without these on all training data, so that the test loss is the objective.
        """
        A, y = self._test
        point = as_array(x)
        predictions = self.predictions(point, A)
        # A prediction of exactly 0 decides nothing and counts as wrong.
        accuracy = float(np.mean(y * predictions > 0))
        loss = self.mean_loss(point, predictions, y) + self._l1 * float(np.abs(point).sum())
        return {"test_loss": loss, "test_accuracy": accuracy}


def two_classes(owner: object, features: NDArray | Tensor | None, labels: NDArray | Tensor | None) -> TwoClasses | None:
    """The given data in float64, or None.

    Raises:
        ValueError: naming the owner's class, if they are of other shapes, or no labels of two classes.
    """
    name = type(owner).__name__
    if (features is None) != (labels is None):
        raise ValueError(f"{name}: features and labels must be given together, or neither")
    if features is None:
        return None
    A, y = as_array(features), as_array(labels)
    if A.ndim not in (2, 3) or y.shape != A.shape[:-1] or not A.size:
        raise ValueError(
            f"{name}: features must be (m, d) or (n, m, d) and labels (m,) or (n, m), "
            f"none of them 0; they are {A.shape} and {y.shape}"
        )
    if not np.isfinite(A).all():
        raise ValueError(f"{name}: features must be finite")
    if not (np.isin(y, (0, 1)).all() or np.isin(y, (-1, 1)).all()):
        raise ValueError(f"{name}: labels must be 0 and 1, or -1 and +1")
    return A, y


def divide(owner: object, data: TwoClasses | None, split: Split, n: int, seed: int, read: Read) -> Divided:
    """The data, the breast cancer data if None, split over n nodes.

    Raises:
        ValueError: They come already divided, over another number of nodes; or are too few.
    """
    if data is None:
        arrays = read(_breast_cancer)
        A, y = _standardised(arrays["features"]), np.asarray(arrays["labels"], np.float64)
    else:
        A, y = data
    y = np.where(y > 0, 1.0, -1.0)
    if A.ndim == 3:
        if n != len(A):
            raise ValueError(f"{type(owner).__name__}: the data are for {len(A)} nodes, the topology has {n}")
        A, m, y = A.reshape(-1, A.shape[2]), A.shape[1], y.reshape(-1)
        return Divided(A, y, [m] * n, A, y)
    train, test = held_out(len(A))
    shards = shards_of(split, y[train], n, seed)
    order = train[np.concatenate(shards)]
    return Divided(A[order], y[order], [len(shard) for shard in shards], A[test], y[test])


def _breast_cancer() -> Arrays:
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    return {"features": features, "labels": labels.astype(np.uint8)}


def _standardised(features: NDArray) -> Array:
    """Mean 0 and deviation 1 over the training examples, and a constant feature for the intercept."""
    train, _ = held_out(len(features))
    scaled = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    return np.column_stack([scaled, np.ones(len(features))])
