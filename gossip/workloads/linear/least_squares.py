"""Least squares with known data, optionally with an l1 term: the problem on which theory can be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Layout, Sample
from algorithms.checks import check
from gossip.workloads.arrays import Array, as_array
from gossip.workloads.linear.model import LinearModel, Loss
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
        return LinearModel(A.reshape(n * m, d), b.reshape(n * m), [m] * n, "half square", self.l2)

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

    def clipped_gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor, clip: float) -> Sample:
        """See `HasClippedGradients`. With the l2 term, without the l1 term."""
        return self._model.clipped_gradient(x, nodes, examples, clip)

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasLosses`. They include the l2 term, not the l1 term."""
        return self._model.losses(x, nodes, examples)

    def slopes(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> tuple[Tensor, Tensor]:
        """See `HasSlopes`. The losses include the l2 term, not the l1 term."""
        return self._model.slopes(x, nodes, examples)

    def combine(self, weights: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasSlopes`."""
        return self._model.combine(weights, nodes, examples)

    @property
    def loss_name(self) -> Loss:
        """See `HasDual`."""
        return self._model.loss_name

    def features_and_targets(self, node: int) -> tuple[Array, Array]:
        """See `HasDual`."""
        return self._model.features_and_targets(node)

    def smoothness(self, node: int) -> Tensor:
        """See `HasSmoothness`."""
        return self._model.smoothness(node)

    def objective(self, x: Tensor) -> float:
        """(1/n) sum_i f_i(x) + l1 |x|_1 of one model x (d,)."""
        point = as_array(x)
        A, b = self._data  # the same number of examples on each node, so that the mean over all is that of the f_i
        predictions = self._model.predictions(point, A.reshape(-1, A.shape[2]))
        smooth = self._model.mean_loss(point, predictions, b.reshape(-1))
        return smooth + self.l1 * float(np.abs(point).sum())

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


def _ridge(A: Array, b: Array, l2: float) -> Array:
    """Minimise 1/2 |A x - b|^2 + l2/2 |x|^2 by singular values, which squares no condition number."""
    if not l2:
        return np.linalg.lstsq(A, b, rcond=None)[0].astype(np.float64, copy=False)
    left, values, right = np.linalg.svd(A, full_matrices=False)
    x: Array = right.T @ (values / (values**2 + l2) * (left.T @ b))
    return x


def _elastic_net(A: Array, b: Array, l1: float, l2: float) -> Array:
    """Minimise 1/2 |A x - b|^2 + l2/2 |x|^2 + l1 |x|_1 to rounding errors, by an active-set method.

    Osborne, Presnell and Turlach, "A new approach to variable selection in least squares problems", IMA
    Journal of Numerical Analysis 20, 2000. Components outside the active set are zero, those inside have
    fixed signs. That makes the problem quadratic; on the way to its solution a component that reaches zero
    leaves the set, and at the solution the component that violates its optimality condition most enters.

    Not scikit-learn's coordinate descent or LARS: on random problems both stop visibly short of the optimum now and
    then, which a reference must not.

    Raises:
        ArithmeticError: Rounding errors keep it from the optimum.
    """
    d = A.shape[1]
    hessian = A.T @ A + l2 * np.eye(d)
    tolerance = 1e-13 * np.linalg.norm(A, axis=0) * np.linalg.norm(b)  # (d,): rounding errors of the gradient
    x, signs = np.zeros(d), np.zeros(d)
    for _ in range(50 * (d + 1)):
        gradient = A.T @ (A @ x - b) + l2 * x
        active = np.flatnonzero(signs)
        if np.all(np.abs(gradient + l1 * signs)[active] <= tolerance[active]):
            excess = np.where(signs == 0, np.abs(gradient) - l1 - tolerance, 0)
            entering = int(np.argmax(excess))
            if excess[entering] <= 0:
                return x
            signs[entering] = -np.sign(gradient[entering])
            active = np.flatnonzero(signs)
        step, longest = _newton_step(hessian[np.ix_(active, active)], -(gradient + l1 * signs)[active])
        shrinking = np.flatnonzero(step * signs[active] < 0)
        lengths = -x[active[shrinking]] / step[shrinking]
        length = min(longest, lengths.min(initial=np.inf))
        x[active] += min(length, 1e300) * step
        if length < longest:
            leaving = active[shrinking[np.argmin(lengths)]]
            x[leaving] = signs[leaving] = 0
    raise ArithmeticError("LeastSquares: the optimum with an l1 term is out of reach of the active-set method")


def _newton_step(hessian: Array, downhill: Array) -> tuple[Array, float]:
    """A direction of descent, and how often to take it: once, or without end if there is no curvature."""
    scale = 1 / np.sqrt(np.diag(hessian))  # makes it independent of the units of the features
    curvatures, axes = np.linalg.eigh(scale * hessian * scale[:, None])
    slopes = axes.T @ (scale * downhill)
    curved = curvatures > 1e-11 * curvatures[-1]
    if np.any(np.abs(slopes[~curved]) > 1e-12 * np.abs(slopes).max()):
        return scale * (axes[:, ~curved] @ slopes[~curved]), np.inf
    return scale * (axes[:, curved] @ (slopes[curved] / curvatures[curved])), 1.0
