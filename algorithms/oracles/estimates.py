"""Gradient estimates made of function values, in the place of a workload's gradients.

With a smoothing radius mu, of a single example's loss f_l:

    CooSGE   sum_j (f_l(x + mu e_j) - f_l(x - mu e_j)) / (2 mu) e_j                 2 d values
    GauSGE   (f_l(x + mu u) - f_l(x)) / mu u,  u ~ N(0, I)                          2 values

(Huang, Gu, Huo, Chen, Huang, AAAI 2019, arXiv 1902.06158; GauSGE is Nesterov & Spokoiny's, Found. Comput. Math. 17,
2017.) CooSGE is exact for quadratics and has an error of O(mu^2) otherwise. GauSGE averages, over u, to the gradient of
f_l smoothed by a Gaussian of deviation mu, and has a variance of about d |grad f_l|^2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.layout import Layout
from algorithms.oracles.oracle import HasSmoothness
from algorithms.randomness import generator

AT_ONCE = 1 << 20  # numbers in the points where values are asked for

Array = NDArray[Any]


def direction(d: int, node: int, example: int, step: int, seed: int) -> NDArray[np.float64]:
    """(d,): the Gaussian direction of an example of a node, drawn at this step."""
    return generator(seed, "direction", node, example, step).standard_normal(d)


@lru_cache(maxsize=1)  # SVRG asks for the same ones at two points, one after the other
def _directions(d: int, keys: tuple[tuple[int, int, int], ...], seed: int) -> NDArray[np.float64]:
    """(len(keys), d): the directions of several (node, example, step)."""
    stack = np.empty((len(keys), d))
    for along, key in zip(stack, keys, strict=True):
        along[:] = direction(d, *key, seed)
    return stack


class Estimated:
    """What both kinds of estimates share: everything but the gradient is the workload's.

    Args:
        workload: Gives the losses.
        smoothing: mu.

    Attributes:
        estimated: The workload.
    """

    def __init__(self, workload: Any, smoothing: float) -> None:
        self.estimated = workload
        self.smoothing = smoothing
        if isinstance(workload, HasSmoothness):
            self.smoothness = workload.smoothness

    @property
    def layout(self) -> Layout:
        layout: Layout = self.estimated.layout
        return layout

    def initial(self) -> Tensor:
        start: Tensor = self.estimated.initial()
        return start

    def examples(self, node: int) -> int:
        return int(self.estimated.examples(node))

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        metrics: Mapping[str, float] = self.estimated.evaluate(x)
        return metrics

    def _used(self, nodes: Sequence[int], examples: Tensor | None) -> list[Tensor]:
        """The examples of each row, all of its node if none are given."""
        return list(examples) if examples is not None else [torch.arange(self.examples(node)) for node in nodes]


class CoordinateEstimates(Estimated):
    """CooSGE: differences along every coordinate."""

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`; the loss is the mean of all values, O(mu^2) above that at x."""
        rows = [self._row(*row) for row in zip(x, nodes, self._used(nodes, examples), strict=True)]
        gradients, losses = zip(*rows, strict=True)
        return Sample(torch.stack(gradients), torch.tensor(losses, dtype=x.dtype))

    def _row(self, x: Tensor, node: int, examples: Tensor) -> tuple[Tensor, float]:
        d = len(x)
        gradient, total = torch.empty_like(x), 0.0
        for some in torch.arange(d).split(max(1, AT_ONCE // (2 * d))):
            c, here = len(some), torch.arange(len(some))
            points = x.repeat(2 * c, 1)
            points[here, some] += self.smoothing
            points[c + here, some] -= self.smoothing
            values = _numbers(self.estimated.losses(points, [node] * (2 * c), examples.expand(2 * c, -1)))
            slopes = (values[:c] - values[c:]) / (2 * self.smoothing)
            gradient[some] = torch.from_numpy(slopes.mean(axis=1)).to(x.dtype)
            total += float(values.sum())
        return gradient, total / (2 * d * len(examples))


class GaussianEstimates(Estimated):
    """GauSGE: a difference along one direction for each example, drawn for it at some step.

    Args:
        workload: Gives the losses.
        smoothing: mu.
        since: The step that the directions belong to; see `Estimates.drawn` for the shapes that it may have.
        seed: What the directions follow from.
    """

    def __init__(self, workload: Any, smoothing: float, since: Tensor, seed: int) -> None:
        super().__init__(workload, smoothing)
        self._since, self._seed = since, seed

    def drawn(self, since: Tensor) -> GaussianEstimates:
        """See `Estimates`."""
        return GaussianEstimates(self.estimated, self.smoothing, since, self._seed)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`."""
        used = self._used(nodes, examples)
        since = self._since.reshape(len(nodes) if self._since.ndim else 1, -1)
        rows = np.repeat(np.arange(len(used)), [len(each) for each in used])
        chosen = torch.cat(used)
        steps = torch.cat([s.expand(len(each)) for s, each in zip(since.expand(len(used), -1), used, strict=True)])
        gradient, loss = np.zeros(x.shape), np.zeros(len(x))
        for part in np.array_split(np.arange(len(rows)), -(-2 * len(rows) * x.shape[1] // AT_ONCE)):
            where = [nodes[row] for row in rows[part]]
            keys = tuple(zip(where, chosen[part].tolist(), steps[part].tolist(), strict=True))
            directions = _directions(x.shape[1], keys, self._seed)
            points = x[rows[part]]
            ahead = points + torch.from_numpy(self.smoothing * directions).to(x.dtype)
            asked = torch.cat((points, ahead)), where * 2, chosen[part].repeat(2)[:, None]
            here, there = np.split(_numbers(self.estimated.losses(*asked))[:, 0], 2)
            slopes = (there - here) / self.smoothing
            np.add.at(gradient, rows[part], slopes[:, None] * directions)  # one after the other
            np.add.at(loss, rows[part], here)
        sizes = np.array([len(each) for each in used])
        gradient /= sizes[:, None]
        return Sample(torch.from_numpy(gradient).to(x.dtype), torch.from_numpy(loss / sizes).to(x.dtype))


def _numbers(values: Tensor) -> Array:
    return np.ascontiguousarray(values.double().numpy())
