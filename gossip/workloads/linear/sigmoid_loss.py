"""Two-class linear classification by the sigmoid loss, which is not convex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from gossip.workloads.arrays import as_array
from gossip.workloads.linear.two_classes import TwoClasses, TwoClassModel, divide, two_classes
from gossip.workloads.splits import Iid, Split
from gossip.workloads.workload import Read, Workload, read_here


@dataclass(frozen=True, eq=False)
class SigmoidLoss(Workload):
    """(1/n) sum_i f_i(x) + l1 |x|_1, f_i(x) = mean_j 1 / (1 + exp(y_j a_j . x)) + l2/2 |x|^2, y_j = -1 or +1, float64.

    A smooth count of the errors. The black-box problem of Huang, Gu, Huo, Chen, Huang, AAAI 2019, arXiv 1902.06158. The
    l1 term is left out of `gradient` and `losses`, for methods that handle it by its proximal operator; it is part of
    what `evaluate` reports. Bits, initial parameters and the data where none are given are as in `LogisticRegression`.

    Args:
        features: (m, d), divided over the nodes by `split`, a fixed fifth held out for testing; or (n, m, d),
            already divided, nothing held out. A NumPy array or a tensor.
        labels: (m,) or (n, m): 0 and 1, or -1 and +1.
        l1: Weight of |x|_1, >= 0.
        l2: Weight of the squared norm, >= 0.
        split: How the training examples are divided over the nodes.
    """

    features: NDArray | Tensor | None = field(default=None, repr=False)
    labels: NDArray | Tensor | None = field(default=None, repr=False)
    l1: float = 0.0
    l2: float = 0.0
    split: Split = field(default_factory=Iid)

    def __post_init__(self) -> None:
        check(0 <= self.l1 < np.inf, self, "l1", ">= 0")
        check(0 <= self.l2 < np.inf, self, "l2", ">= 0")
        two_classes(self, self.features, self.labels)

    @cached_property
    def _data(self) -> TwoClasses | None:
        return two_classes(self, self.features, self.labels)

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedSigmoidLoss:
        """The data split over n nodes.

        Raises:
            ValueError: The data come already divided, over another number of nodes; or are too few.
        """
        return ShardedSigmoidLoss(divide(self, self._data, self.split, n, seed, read), "sigmoid", self.l2, self.l1)


class ShardedSigmoidLoss(TwoClassModel):
    """The problem with its data in place; made by `SigmoidLoss.shard`."""

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """As `TwoClassModel.evaluate`, and "objective": over the training data, with the l2 and the l1 term."""
        point = as_array(x)
        return {**super().evaluate(x), "objective": self.objective(point)[0] + self._l1 * float(np.abs(point).sum())}
