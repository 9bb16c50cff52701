"""Two-class linear classification by the hinge loss: the support vector machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from gossip.workloads.linear.two_classes import TwoClasses, TwoClassModel, divide, two_classes
from gossip.workloads.splits import Iid, Split
from gossip.workloads.workload import Read, Workload, read_here


@dataclass(frozen=True, eq=False)
class HingeLoss(Workload):
    """f_i(x) = mean_j max(0, 1 - y_j a_j . x) + l2/2 |x|^2 with labels y_j = -1 or +1, in float64.

    The linear support vector machine without a constant term; features that hold a constant have one, which l2 is for
    too. Where an example has the margin 1, its gradient is that of 0. Bits, initial parameters and the data where none
    are given are as in `LogisticRegression`.

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

    def shard(self, n: int, seed: int, read: Read = read_here) -> TwoClassModel:
        """The data split over n nodes.

        Raises:
            ValueError: The data come already divided, over another number of nodes; or are too few.
        """
        return TwoClassModel(divide(self, self._data, self.split, n, seed, read), "hinge", self.l2)
