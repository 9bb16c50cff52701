"""Gradient estimates made of function values, in the place of a workload's gradients.

With a smoothing radius mu, of a single example's loss f_l:

    CooSGE   sum_j (f_l(x + mu e_j) - f_l(x - mu e_j)) / (2 mu) e_j                 2 d values
    GauSGE   mean_q (f_l(x + mu u_q) - f_l(x)) / mu u_q,  u_q ~ N(0, I)             q + 1 values

(Huang, Gu, Huo, Chen, Huang, AAAI 2019, arXiv 1902.06158; GauSGE is Nesterov & Spokoiny's, Found. Comput. Math. 17,
2017, with one direction; the mean over q is that of Liu et al., NeurIPS 2018, arXiv 1805.10367.) CooSGE is exact for
quadratics and has an error of O(mu^2) otherwise. GauSGE averages, over u, to the gradient of f_l smoothed by a Gaussian
of deviation mu, and has a variance of about d / q |grad f_l|^2.
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


def directions(d: int, node: int, example: int, step: int, seed: int, count: int = 1) -> NDArray[np.float64]:
    """(count, d): the Gaussian directions of an example of a node, drawn at this step."""
    return generator(seed, "direction", node, example, step).standard_normal((count, d))


@lru_cache(maxsize=1)  # SVRG asks for the same ones at two points, one after the other
def _directions(d: int, keys: tuple[tuple[int, int, int], ...], seed: int, count: int) -> NDArray[np.float64]:
    """(len(keys), count, d): the directions of several (node, example, step)."""
    stack = np.empty((len(keys), count, d))
    for along, key in zip(stack, keys, strict=True):
        along[:] = directions(d, *key, seed, count)
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
        if examples is not None:
            return self._rows(x, nodes, examples)
        rows = [self._rows(x[[row]], [node], torch.arange(self.examples(node))[None]) for row, node in enumerate(nodes)]
        return Sample(torch.cat([row.gradient for row in rows]), torch.cat([row.loss for row in rows]))

    def _rows(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Sample:
        k, d = x.shape
        slopes, losses = np.empty((k, d)), np.empty((k, d))
        for some in torch.arange(d).split(max(1, AT_ONCE // (2 * k * d))):
            c, here = len(some), torch.arange(len(some))
            points = x[:, None].repeat(1, 2 * c, 1)
            points[:, here, some] += self.smoothing
            points[:, c + here, some] -= self.smoothing
            asked = points.reshape(-1, d), np.repeat(nodes, 2 * c).tolist(), examples.repeat_interleave(2 * c, dim=0)
            values = _numbers(self.estimated.losses(*asked)).reshape(k, 2, c, -1)
            slopes[:, some] = (values[:, 0] - values[:, 1]).mean(axis=2) / (2 * self.smoothing)
            losses[:, some] = values.sum(axis=1).mean(axis=2) / 2
        return Sample(torch.from_numpy(slopes).to(x.dtype), torch.from_numpy(losses.mean(axis=1)).to(x.dtype))


class GaussianEstimates(Estimated):
    """GauSGE: differences along random directions for each example, drawn for it at some step.

    Args:
        workload: Gives the losses.
        smoothing: mu.
        count: q, the directions for each example.
        since: The step that the directions belong to; see `Estimates.drawn` for the shapes that it may have.
        seed: What the directions follow from.
    """

    def __init__(self, workload: Any, smoothing: float, count: int, since: Tensor, seed: int) -> None:
        super().__init__(workload, smoothing)
        self._count, self._since, self._seed = count, since, seed

    def drawn(self, since: Tensor) -> GaussianEstimates:
        """See `Estimates`."""
        return GaussianEstimates(self.estimated, self.smoothing, self._count, since, self._seed)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`."""
        used = self._used(nodes, examples)
        sizes = np.array([len(each) for each in used])
        rows = np.repeat(np.arange(len(used)), sizes)
        chosen = torch.cat(used)
        since = self._since.reshape(len(used), -1) if self._since.ndim else self._since.expand(len(used), 1)
        steps = since[rows, 0] if since.shape[1] == 1 else since.flatten()
        gradient, loss = np.zeros(x.shape), np.zeros(len(x))
        q, d = self._count, x.shape[1]
        for part in np.array_split(np.arange(len(rows)), -(-(q + 1) * len(rows) * d // AT_ONCE)):
            where = [nodes[row] for row in rows[part]]
            keys = tuple(zip(where, chosen[part].tolist(), steps[part].tolist(), strict=True))
            along = _directions(d, keys, self._seed, q)
            points = x[rows[part], None]
            points = torch.cat((points, points + torch.from_numpy(self.smoothing * along).to(x.dtype)), dim=1)
            asked = (
                points.reshape(-1, d),
                np.repeat(where, q + 1).tolist(),
                chosen[part].repeat_interleave(q + 1)[:, None],
            )
            values = _numbers(self.estimated.losses(*asked)).reshape(-1, q + 1)
            slopes = (values[:, 1:] - values[:, :1]) / self.smoothing
            np.add.at(gradient, rows[part], (slopes[:, :, None] * along).mean(axis=1))  # one after the other
            np.add.at(loss, rows[part], values[:, 0])
        gradient /= sizes[:, None]
        return Sample(torch.from_numpy(gradient).to(x.dtype), torch.from_numpy(loss / sizes).to(x.dtype))


def _numbers(values: Tensor) -> Array:
    return np.ascontiguousarray(values.double().numpy())
