"""Losses of inner products of parameters and examples: what the convex workloads share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Layout, Sample
from algorithms.numerics.threads import over_rows
from algorithms.privacy.clipping import clip_factors
from gossip.workloads.arrays import Array, ignoring_overflow
from gossip.workloads.workload import check_examples

COMPILED = 1 << 18  # numbers in the features from which the compiled kernels pay for their import
GATHERED = 1 << 20  # numbers in the features copied at once
Loss = Literal["half square", "logistic", "sigmoid", "hinge"]
CURVATURES = {"half square": 1.0, "logistic": 1 / 4, "sigmoid": 1 / (6 * np.sqrt(3))}  # bounds of |second derivative|


class LinearModel:
    """f_i(x) = mean_j loss(a_j . x, b_j) + l2/2 |x|^2 over the examples (a_j, b_j) of node i, in float64.

    The results of a node depend bit for bit on nothing but its own x and the data: not on the other nodes of
    the call, the number of threads, or where the arrays lie in memory. Hence no BLAS, whose order of
    summation changes with the shape of the stack and the threads. Large data go through compiled kernels, small
    ones through einsum, which sums in one fixed order as well; which of the two depends on the data of all nodes.

    Args:
        features: (m, d), the examples of node 0, then of node 1, ...
        targets: (m,).
        sizes: Number of examples of each node.
        loss: Of a prediction z: "half square", (z - b)^2 / 2; or with b = -1 or +1 "logistic", log(1 + exp(-b z)), or
            "sigmoid", 1 / (1 + exp(b z)), which is not convex, or "hinge", max(0, 1 - b z), which has a kink.
        l2: Weight of the squared norm.
    """

    def __init__(
        self,
        features: Array,
        targets: Array,
        sizes: Sequence[int],
        loss: Loss,
        l2: float,
    ) -> None:
        self._features = np.ascontiguousarray(features)
        self._targets = np.ascontiguousarray(targets)
        self._sizes = np.asarray(sizes, np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._loss = loss
        self.l2 = l2
        self._compiled = self._features.size >= COMPILED
        self.layout = Layout.vector(self._features.shape[1])

    def initial(self) -> Tensor:
        """(d,): zeros."""
        return torch.zeros(self.layout.d, dtype=torch.float64)

    def examples(self, node: int) -> int:
        """Number of training examples of a node."""
        return int(self._sizes[node])

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`. The loss includes the l2 term."""
        points = np.ascontiguousarray(x.detach().numpy(), dtype=np.float64)
        here = np.asarray(nodes, np.int64)
        chosen = None
        if examples is not None:
            check_examples(examples, self._sizes[here])
            chosen = np.ascontiguousarray(examples.numpy())
        gradient = np.empty_like(points)
        loss = np.empty(len(points))
        if self._compiled:
            self._in_one_pass(points, here, chosen, loss, gradient)
        else:
            for rows, features, targets in self._blocks(here, chosen):
                loss[rows], gradient[rows] = self._by_einsum(points[rows], features, targets)
        return Sample(torch.from_numpy(gradient).to(x.dtype), torch.from_numpy(loss).to(x.dtype))

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasLosses`. They include the l2 term."""
        return self.slopes(x, nodes, examples)[0]

    def slopes(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> tuple[Tensor, Tensor]:
        """See `HasSlopes`. The losses include the l2 term."""
        points = np.ascontiguousarray(x.detach().numpy(), dtype=np.float64)
        starts, chosen = self._chosen(nodes, examples)
        losses, slopes = np.empty(chosen.shape), np.empty(chosen.shape)
        if self._compiled:
            from gossip.workloads.linear.compiled import KINDS, losses_and_slopes

            data, places = (self._features, self._targets), (starts, chosen)
            objective, out = (KINDS[self._loss], self.l2), (losses, slopes)
            over_rows(
                lambda *rows: losses_and_slopes(data, places, points, objective, out, rows),
                len(points),
                torch.get_num_threads(),
            )
        else:
            for rows, features, targets in self._gathered(starts, chosen):
                losses[rows], slopes[rows] = self._each_by_einsum(points[rows], features, targets)
        return torch.from_numpy(losses).to(x.dtype), torch.from_numpy(slopes).to(x.dtype)

    def combine(self, weights: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasSlopes`."""
        factors = np.ascontiguousarray(weights.numpy(), dtype=np.float64)
        starts, chosen = self._chosen(nodes, examples)
        out = np.empty((len(chosen), self.layout.d))
        if self._compiled:
            from gossip.workloads.linear.compiled import combinations

            over_rows(
                lambda *rows: combinations(self._features, (starts, chosen), factors, out, rows),
                len(out),
                torch.get_num_threads(),
            )
        else:
            for rows, features, _ in self._gathered(starts, chosen):
                out[rows] = einsum_by_row("kmd,km->kd", features, factors[rows]) / chosen.shape[1]
        return torch.from_numpy(out).to(weights.dtype)

    @ignoring_overflow
    def clipped_gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor, clip: float) -> Sample:
        """See `HasClippedGradients`. The norm of slope a + l2 x follows from those of a and x and their product."""
        points = np.ascontiguousarray(x.detach().numpy(), dtype=np.float64)
        starts, chosen = self._chosen(nodes, examples)
        gradient, loss, m = np.empty_like(points), np.empty(len(points)), chosen.shape[1]
        for rows, features, targets in self._gathered(starts, chosen):
            predictions = einsum_by_row("kmd,kd->km", features, points[rows])
            losses, slopes = self._losses(predictions, targets)
            squares = einsum_by_row("kd,kd->k", points[rows], points[rows])[:, None]
            norms = slopes * slopes * einsum_by_row("kmd,kmd->km", features, features)
            norms = np.sqrt(np.maximum(norms + self.l2 * (2 * slopes * predictions + self.l2 * squares), 0))
            factors = clip_factors(torch.from_numpy(norms), clip).numpy()
            decay = self.l2 * einsum_by_row("km->k", factors)[:, None] * points[rows]
            gradient[rows] = (einsum_by_row("kmd,km->kd", features, factors * slopes) + decay) / m
            loss[rows] = einsum_by_row("km->k", losses) / m + self.l2 / 2 * squares[:, 0]
        return Sample(torch.from_numpy(gradient).to(x.dtype), torch.from_numpy(loss).to(x.dtype))

    @property
    def loss_name(self) -> Loss:
        """See `HasDual`."""
        return self._loss

    def targets_of(self, node: int) -> NDArray:
        """See `HasTargets`: integers if the loss is one of classes."""
        own = self.features_and_targets(node)[1]
        return own if self._loss == "half square" else own.astype(np.int64)

    def features_and_targets(self, node: int) -> tuple[Array, Array]:
        """See `HasDual`."""
        own = slice(self._starts[node], self._starts[node] + self._sizes[node])
        return self._features[own], self._targets[own]

    def smoothness(self, node: int) -> Tensor:
        """See `HasSmoothness`: c |a_j|^2 + l2, where c bounds the curvature of the loss.

        Raises:
            ValueError: It has a kink, so that nothing does.
        """
        if self._loss not in CURVATURES:
            raise ValueError(f"the {self._loss} loss has a kink, so its gradients have no Lipschitz constant")
        features = self._features[self._starts[node] : self._starts[node] + self._sizes[node]]
        return torch.from_numpy(CURVATURES[self._loss] * np.einsum("md,md->m", features, features) + self.l2)

    @ignoring_overflow
    def mean_loss(self, x: Array, predictions: Array, targets: Array) -> float:
        """The mean over any examples (m,) that were predicted at the point x (d,), plus l2/2 |x|^2."""
        losses = self._only_losses(predictions, targets)
        return float(losses.mean() + self.l2 / 2 * self.predictions(x, x[None])[0])

    @ignoring_overflow
    def predictions(self, x: Array, features: Array) -> Array:
        """(m,): the inner products of x (d,) with the features (m, d)."""
        if not self._compiled:
            return einsum_by_row("kmd,kd->km", features[None], x[None])[0]
        from gossip.workloads.linear.compiled import inner_products

        out = np.empty(len(features))
        over_rows(lambda *rows: inner_products(features, x, out, rows), len(out), torch.get_num_threads())
        return out

    def objective(self, x: Array) -> tuple[float, Array]:
        """(1/n) sum_i f_i(x) and its gradient (d,) at one point x (d,)."""
        points = torch.from_numpy(x).expand(len(self._sizes), -1)
        sample = self.gradient(points, range(len(self._sizes)))
        return float(sample.loss.mean()), sample.gradient.mean(dim=0).numpy()

    def _losses(self, predictions: Array, targets: Array) -> tuple[Array, Array]:
        """The losses, and their derivatives by the predictions, element by element."""
        if self._loss == "half square":
            residuals = predictions - targets
            return residuals * residuals / 2, residuals
        margins = targets * predictions
        if self._loss == "hinge":
            return np.maximum(1 - margins, 0), np.where(margins < 1, -targets, 0.0)
        sigmoid, softplus = np.exp(-np.logaddexp(0, margins)), np.logaddexp(0, -margins)
        if self._loss == "logistic":
            return softplus, -targets * sigmoid
        return sigmoid, -targets * (sigmoid * np.exp(-softplus))

    def _only_losses(self, predictions: Array, targets: Array) -> Array:
        """The first of what `_losses` gives."""
        if self._loss == "logistic":
            return np.logaddexp(0, -targets * predictions)
        return self._losses(predictions, targets)[0]

    def _in_one_pass(
        self, x: Array, nodes: NDArray[np.int64], examples: NDArray[np.int64] | None, loss: Array, gradient: Array
    ) -> None:
        from gossip.workloads.linear.compiled import KINDS, losses_and_gradients

        k = len(nodes)
        if examples is None:
            sizes, examples = self._sizes[nodes], np.empty((k, 0), np.int64)
        else:
            sizes = np.full(k, examples.shape[1])
        data, places = (self._features, self._targets), (self._starts[nodes], sizes, examples)
        objective, out = (KINDS[self._loss], self.l2), (loss, gradient)
        over_rows(
            lambda *rows: losses_and_gradients(data, places, x, objective, out, rows),
            k,
            torch.get_num_threads(),
        )

    @ignoring_overflow
    def _by_einsum(self, x: Array, features: Array, targets: Array) -> tuple[Array, Array]:
        """f (k,) and gradients (k, d) at the rows of x (k, d), over features (k, m, d) and targets (k, m)."""
        m = targets.shape[1]
        losses, slopes = self._losses(einsum_by_row("kmd,kd->km", features, x), targets)
        value = einsum_by_row("km->k", losses) / m + self.l2 / 2 * einsum_by_row("kd,kd->k", x, x)
        return value, einsum_by_row("kmd,km->kd", features, slopes) / m + self.l2 * x

    @ignoring_overflow
    def _each_by_einsum(self, x: Array, features: Array, targets: Array) -> tuple[Array, Array]:
        """The loss of each example alone and its slope, (k, m) both."""
        losses, slopes = self._losses(einsum_by_row("kmd,kd->km", features, x), targets)
        return losses + self.l2 / 2 * einsum_by_row("kd,kd->k", x, x)[:, None], slopes

    def _chosen(self, nodes: Sequence[int], examples: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the examples of these nodes begin, (k,), and which of them to use, (k, batch)."""
        here = np.asarray(nodes, np.int64)
        check_examples(examples, self._sizes[here])
        return self._starts[here], np.ascontiguousarray(examples.numpy())

    def _gathered(self, starts: NDArray[np.int64], examples: NDArray[np.int64]) -> Iterator[tuple[slice, Array, Array]]:
        """Copies of these examples (k, batch), for as many rows at a time as are small enough."""
        rows = max(1, GATHERED // max(1, examples.shape[1] * self.layout.d))
        for first in range(0, len(starts), rows):
            part = slice(first, first + rows)
            places = starts[part, None] + examples[part]
            yield part, self._features[places], self._targets[places]

    def _blocks(
        self, nodes: NDArray[np.int64], examples: NDArray[np.int64] | None
    ) -> Iterator[tuple[slice, Array, Array]]:
        """The examples in use, as stacks (k, m, d) and (k, m) for slices of the rows."""
        if examples is not None:
            places = self._starts[nodes, None] + examples
            yield slice(0, len(nodes)), self._features[places], self._targets[places]
            return
        first = 0
        while first < len(nodes):
            # Consecutive nodes with equally many examples: a view of the features, not a copy.
            node, m, last = nodes[first], self._sizes[nodes[first]], first + 1
            while last < len(nodes) and nodes[last] == nodes[last - 1] + 1 and self._sizes[nodes[last]] == m:
                last += 1
            place = slice(self._starts[node], self._starts[node] + (last - first) * m)
            features = self._features[place].reshape(last - first, m, -1)
            yield slice(first, last), features, self._targets[place].reshape(last - first, m)
            first = last


def einsum_by_row(subscripts: str, *operands: Array) -> Array:
    """np.einsum over stacks (k, ...), with the same bits for a row whatever the other rows are."""
    if max(operands[0].shape[1:]) < np.getbufsize():
        return np.einsum(subscripts, *operands)
    # Axes longer than NumPy's iteration buffer are summed in pieces, which depend on k: one row at a time.
    rows = (np.einsum(subscripts, *(o[r : r + 1] for o in operands)) for r in range(len(operands[0])))
    return np.concatenate(list(rows))
