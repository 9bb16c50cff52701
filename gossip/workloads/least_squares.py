"""Least squares with known data, optionally with an l1 term: the problem on which theory can be checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Layout, Sample
from algorithms.checks import check
from gossip.workloads.linear import Array, LinearModel, as_array
from gossip.workloads.workload import Read, Workload, read_here


@dataclass(frozen=True, eq=False)
class LeastSquares(Workload):
    """(1/n) sum_i f_i(x) + l1 |x|_1 with f_i(x) = 1/(2m) |A_i x - b_i|^2 + l2/2 |x|^2, in float64.

    The l1 term is left out of `gradient`, for methods that handle it by its proximal operator; it is part of
    `objective`, of `optimum` and of what `evaluate` reports. The gradient of a node has the same bits
    whichever other nodes are computed with it. The initial parameters are zero.

    Args:
        features: (n, m, d), the matrix A_i of each node; a NumPy array or a tensor.
        targets: (n, m), the right-hand side b_i of each node.
        l1: Weight of |x|_1, >= 0.
        l2: Weight of the squared norm, >= 0.
    """

    features: NDArray | Tensor = field(repr=False)
    targets: NDArray | Tensor = field(repr=False)
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        check(0 <= self.l1 < np.inf, self, "l1", ">= 0")
        check(0 <= self.l2 < np.inf, self, "l2", ">= 0")
        A, b = self._data
        if A.ndim != 3 or b.shape != A.shape[:2] or not A.size:
            raise ValueError(
                "LeastSquares: features must be (n, m, d) and targets (n, m), none of them 0; "
                f"they are {A.shape} and {b.shape}"
            )
        if not (np.isfinite(A).all() and np.isfinite(b).all()):
            raise ValueError("LeastSquares: features and targets must be finite")

    @cached_property
    def _data(self) -> tuple[Array, Array]:
        return as_array(self.features), as_array(self.targets)

    @cached_property
    def _model(self) -> LinearModel:
        A, b = self._data
        n, m, d = A.shape
        return LinearModel(A.reshape(n * m, d), b.reshape(n * m), [m] * n, _half_square, self.l2)

    def shard(self, n: int, seed: int, read: Read = read_here) -> LeastSquares:
        """This object: the data come already divided over the nodes.

        Raises:
            ValueError: They are for another number of nodes.
        """
        given = len(self._data[0])
        if n != given:
            raise ValueError(f"LeastSquares: the data are for {given} nodes, the topology has {n}")
        return self

    @property
    def layout(self) -> Layout:
        """One vector of d numbers."""
        return self._model.layout

    def initial(self) -> Tensor:
        """(d,): zeros."""
        return self._model.initial()

    def examples(self, node: int) -> int:
        """Number of training examples of a node: m."""
        return self._model.examples(node)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`. The loss includes the l2 term, not the l1 term."""
        return self._model.gradient(x, nodes, examples)

    def objective(self, x: Tensor) -> float:
        """(1/n) sum_i f_i(x) + l1 |x|_1 of one model x (d,)."""
        point = as_array(x)
        return self._model.objective(point)[0] + self.l1 * float(np.abs(point).sum())

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss": the objective, there are no held-out data; "distance_to_optimum": |x - x*|."""
        distance = torch.linalg.vector_norm(x.detach().double() - self.optimum)
        return {"test_loss": self.objective(x), "distance_to_optimum": float(distance)}

    @cached_property
    def optimum(self) -> Tensor:
        """(d,): the minimiser of the objective; the one of least norm if there are many and l1 = 0."""
        A, b = self._data
        # Divided by sqrt(n m), the rows of all nodes make 1/2 |A x - b|^2 + l2/2 |x|^2 + l1 |x|_1 of it.
        A = A.reshape(-1, A.shape[2]) / np.sqrt(b.size)
        b = b.reshape(-1) / np.sqrt(b.size)
        x = _elastic_net(A, b, self.l1, self.l2) if self.l1 else _ridge(A, b, self.l2)
        return torch.from_numpy(x)


def _half_square(predictions: Array, targets: Array) -> tuple[Array, Array]:
    residuals = predictions - targets
    return residuals * residuals / 2, residuals


def _ridge(A: Array, b: Array, l2: float) -> Array:
    """Minimise 1/2 |A x - b|^2 + l2/2 |x|^2, by orthogonal factors, which square no condition number."""
    d = A.shape[1]
    if l2:
        A, b = np.vstack([A, np.sqrt(l2) * np.eye(d)]), np.concatenate([b, np.zeros(d)])
    return _solve(A, b)


def _elastic_net(A: Array, b: Array, l1: float, l2: float) -> Array:
    """Minimise 1/2 |A x - b|^2 + l2/2 |x|^2 + l1 |x|_1.

    Coordinate descent finds the support and the signs; given these the optimum is a linear system, which is
    accurate to rounding where coordinate descent is to the square root of its tolerance.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet

    # scikit-learn's objective is 1/(2N) |A x - b|^2 + alpha l1_ratio |x|_1 + alpha (1 - l1_ratio)/2 |x|^2.
    root = np.sqrt(len(b))
    solver = ElasticNet(
        alpha=l1 + l2,
        l1_ratio=l1 / (l1 + l2),
        fit_intercept=False,
        precompute=True,
        tol=1e-14,
        max_iter=100_000,
    )
    with warnings.catch_warnings():
        # The tolerance may be out of reach; what counts is the optimality of the polished result.
        warnings.simplefilter("ignore", ConvergenceWarning)
        x = solver.fit(A * root, b * root).coef_

    def violation(x: Array) -> float:
        """Largest distance of a component of -gradient from l1 times the subdifferential of |x_i|."""
        gradient = A.T @ (A @ x - b) + l2 * x
        at_zero = np.maximum(np.abs(gradient) - l1, 0)
        return float(np.max(np.where(x == 0, at_zero, np.abs(gradient + l1 * np.sign(x)))))

    support = np.flatnonzero(x)
    polished = np.zeros_like(x)
    B = A[:, support]
    system = B.T @ B + l2 * np.eye(len(support))
    polished[support] = _solve(system, B.T @ b - l1 * np.sign(x[support]))
    return polished if violation(polished) <= violation(x) else x


def _solve(A: Array, b: Array) -> Array:
    """The solution in the least-squares sense, of least norm if there are many."""
    x: Array = np.linalg.lstsq(A, b, rcond=None)[0].astype(np.float64, copy=False)
    return x
