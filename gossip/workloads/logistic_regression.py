"""Two-class logistic regression with an l2 term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from gossip.workloads.linear import Array, LinearModel, as_array
from gossip.workloads.splits import Iid, Split, held_out
from gossip.workloads.workload import Arrays, Read, Workload, read_here


@dataclass(frozen=True, eq=False)
class LogisticRegression(Workload):
    """f_i(x) = mean_j log(1 + exp(-y_j a_j . x)) + l2/2 |x|^2 with labels y_j = -1 or +1, in float64.

    The gradient of a node has the same bits whichever other nodes are computed with it. The initial
    parameters are zero. Without `features` and `labels` the data are scikit-learn's breast cancer data (569
    examples of 30 features; Wolberg et al., UCI), standardised by the mean and deviation of the training
    examples, and with a constant 1 as the 31st feature. Given data are used as they are.

    Args:
        features: (m, d), divided over the nodes by `split`, a fixed fifth held out for testing; or (n, m, d),
            already divided, nothing held out. A NumPy array or a tensor.
        labels: (m,) or (n, m): 0 and 1, or -1 and +1.
        l2: Weight of the squared norm, >= 0.
        split: How the training examples are divided over the nodes.
    """

    features: NDArray | Tensor | None = field(default=None, repr=False)
    labels: NDArray | Tensor | None = field(default=None, repr=False)
    l2: float = 1e-3
    split: Split = field(default_factory=Iid)

    def __post_init__(self) -> None:
        check(0 <= self.l2 < np.inf, self, "l2", ">= 0")
        if (self.features is None) != (self.labels is None):
            raise ValueError("LogisticRegression: features and labels must be given together, or neither")
        if self._data is None:
            return
        A, y = self._data
        if A.ndim not in (2, 3) or y.shape != A.shape[:-1] or not A.size:
            raise ValueError(
                "LogisticRegression: features must be (m, d) or (n, m, d) and labels (m,) or (n, m), "
                f"none of them 0; they are {A.shape} and {y.shape}"
            )
        if not np.isfinite(A).all():
            raise ValueError("LogisticRegression: features must be finite")
        if not (np.isin(y, (0, 1)).all() or np.isin(y, (-1, 1)).all()):
            raise ValueError("LogisticRegression: labels must be 0 and 1, or -1 and +1")

    @cached_property
    def _data(self) -> tuple[Array, Array] | None:
        return None if self.features is None else (as_array(self.features), as_array(self.labels))

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedLogisticRegression:
        """The data split over n nodes.

        Raises:
            ValueError: The data come already divided, over another number of nodes; or are too few.
        """
        if self._data is None:
            arrays = read(_breast_cancer)
            A, y = _standardised(arrays["features"]), np.asarray(arrays["labels"], np.float64)
        else:
            A, y = self._data
        y = np.where(y > 0, 1.0, -1.0)
        if A.ndim == 3:
            if n != len(A):
                raise ValueError(f"LogisticRegression: the data are for {len(A)} nodes, the topology has {n}")
            A, m, y = A.reshape(-1, A.shape[2]), A.shape[1], y.reshape(-1)
            return ShardedLogisticRegression(A, y, [m] * n, A, y, self.l2)
        train, test = held_out(len(A))
        shards = self.split.assign(y[train], n, seed)
        order = train[np.concatenate(shards)]
        sizes = [len(shard) for shard in shards]
        return ShardedLogisticRegression(A[order], y[order], sizes, A[test], y[test], self.l2)


class ShardedLogisticRegression(LinearModel):
    """Logistic regression with its data in place; made by `LogisticRegression.shard`."""

    def __init__(
        self,
        features: Array,
        labels: Array,
        sizes: Sequence[int],
        test_features: Array,
        test_labels: Array,
        l2: float,
    ) -> None:
        super().__init__(features, labels, sizes, "logistic", l2)
        self._test = test_features, test_labels

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss", with the l2 term, and "test_accuracy" in 0..1.

        On the held-out data; without these on all training data, so that the test loss is the objective.
        """
        A, y = self._test
        point = as_array(x)
        predictions = self.predictions(point, A)
        # A prediction of exactly 0 decides nothing and counts as wrong.
        accuracy = float(np.mean(y * predictions > 0))
        return {"test_loss": self.mean_loss(point, predictions, y), "test_accuracy": accuracy}

    @cached_property
    def optimum(self) -> Tensor:
        """(d,): the minimiser of (1/n) sum_i f_i, to a gradient norm below 1e-10, by Newton's method.

        Raises:
            ArithmeticError: Newton's method does not get there; or there is no minimiser, since l2 = 0 and a
                plane separates the classes.
        """
        weights = np.repeat(1 / (len(self._sizes) * self._sizes), self._sizes)
        x = np.zeros(self.layout.d)
        value, gradient = self.objective(x)
        for _ in range(100):
            if np.linalg.norm(gradient) < 1e-11:
                break
            margins = self._targets * (self._features @ x)
            # p (1 - p), without cancellation for large margins
            curvatures = weights * np.exp(-np.logaddexp(0, margins) - np.logaddexp(0, -margins))
            hessian = (self._features.T * curvatures) @ self._features + self.l2 * np.eye(len(x))
            direction = -np.linalg.lstsq(hessian, gradient, rcond=None)[0]
            step, slope = 1.0, float(gradient @ direction)
            # Armijo's rule; the slack lets rounding errors of the value pass close to the optimum.
            while self.objective(x + step * direction)[0] > value + 1e-4 * step * slope + 1e-15 * abs(value):
                step /= 2
                if step < 1e-12:
                    break
            x = x + step * direction
            value, gradient = self.objective(x)
        norm = float(np.linalg.norm(gradient))
        if not norm < 1e-10:
            raise ArithmeticError(f"Newton's method stopped at a gradient norm of {norm:.1e}")
        if self.l2 == 0 and np.all(self._targets * (self._features @ x) > 0):
            # All examples are on the right side, so the loss decreases along x for ever.
            raise ArithmeticError("a plane separates the classes, so there is no optimum without l2 > 0")
        return torch.from_numpy(x)


def _breast_cancer() -> Arrays:
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    return {"features": features, "labels": labels.astype(np.uint8)}


def _standardised(features: NDArray) -> Array:
    """Mean 0 and deviation 1 over the training examples, and a constant feature for the intercept."""
    train, _ = held_out(len(features))
    scaled = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    return np.column_stack([scaled, np.ones(len(features))])
