"""A problem of which gradients are products and sums of single numbers in a fixed order: with one result everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch

from algorithms import Layout, Sample


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 2^-20 in [0, 1)."""
    raw = np.random.Philox(key=seed).random_raw(prod(shape))
    return ((raw >> np.uint64(44)) / 2.0**20).reshape(shape)


class Quadratics:
    """f_i(x) = mean_j 1/2 sum_c h_ijc (x_c - t_ijc)^2 over the 5 to 7 examples j of node i.

    Computed in float64 and rounded to the type of x.

    Args:
        n: Number of nodes.
        shapes: The tensors of the model.
        dtype: That of the start.
    """

    def __init__(self, n: int, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
        self.layout = Layout(shapes)
        self._n, self._dtype, d = n, dtype, self.layout.d
        self._curvatures = [0.5 + numbers(2 * i, self.examples(i), d) for i in range(n)]
        self._targets = [4 * numbers(2 * i + 1, self.examples(i), d) - 2 for i in range(n)]

    def initial(self) -> torch.Tensor:
        return torch.from_numpy(2 * numbers(1000, self.layout.d) - 1).to(self._dtype)

    def examples(self, node: int) -> int:
        return 5 + node % 3

    def smoothness(self, node: int) -> torch.Tensor:
        return torch.from_numpy(self._curvatures[node].max(axis=1))

    def gradient(self, x: torch.Tensor, nodes: Sequence[int], examples: torch.Tensor | None = None) -> Sample:
        gradients, losses = np.empty(x.shape), np.empty(len(x))
        for row, node in enumerate(nodes):
            chosen = range(self.examples(node)) if examples is None else examples[row].tolist()
            values, slopes = self._each(x[row], node, list(chosen))
            gradients[row], losses[row] = total(slopes) / len(values), total(values) / len(values)
        return Sample(torch.from_numpy(gradients).to(x.dtype), torch.from_numpy(losses).to(x.dtype))

    def losses(self, x: torch.Tensor, nodes: Sequence[int], examples: torch.Tensor) -> torch.Tensor:
        rows = [self._each(x[row], node, examples[row].tolist())[0] for row, node in enumerate(nodes)]
        return torch.from_numpy(np.stack(rows)).to(x.dtype)

    def evaluate(self, x: torch.Tensor) -> Mapping[str, float]:
        """The objective."""
        losses = self.gradient(x.expand(self._n, -1).double(), range(self._n)).loss.numpy()
        return {"test_loss": float(total(losses)) / self._n}

    def _each(self, x: torch.Tensor, node: int, examples: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """The losses (batch,) of these examples at x (d,) and their gradients (batch, d)."""
        moved = x.double().numpy() - self._targets[node][examples]
        slopes = self._curvatures[node][examples] * moved
        return total((slopes * moved).T) / 2, slopes


def total(values: np.ndarray) -> np.ndarray:
    """The sum over the first axis, one after the other."""
    return np.add.accumulate(values, axis=0)[-1]
