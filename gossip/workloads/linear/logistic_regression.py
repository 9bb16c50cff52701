"""Two-class logistic regression with an l2 term."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from gossip.workloads.linear.two_classes import TwoClasses, TwoClassModel, divide, two_classes
from gossip.workloads.splits import Iid, Split
from gossip.workloads.workload import Read, Workload, read_here


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
        two_classes(self, self.features, self.labels)

    @cached_property
    def _data(self) -> TwoClasses | None:
        return two_classes(self, self.features, self.labels)

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedLogisticRegression:
        """The data split over n nodes.

        Raises:
            ValueError: The data come already divided, over another number of nodes; or are too few.
        """
        return ShardedLogisticRegression(divide(self, self._data, self.split, n, seed, read), "logistic", self.l2)


class ShardedLogisticRegression(TwoClassModel):
    """Logistic regression with its data in place; made by `LogisticRegression.shard`."""

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
