"""Step sizes of their own for the tensors of a model: norms, multiples and momentum tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Literal, Self

import torch
from torch import Tensor

from algorithms.blocks.momentum import Momentum
from algorithms.layout import Layout
from algorithms.numerics.norms import part_norms
from algorithms.optimizers.optimizer import LocalOptimizer, M

ORDERS = ("scale-then-accumulate", "accumulate-then-scale")
Order = Literal["scale-then-accumulate", "accumulate-then-scale"]


@dataclass(frozen=True, kw_only=True)
class Layerwise(LocalOptimizer[M]):
    """What rules share that give each tensor of the model a step size of its own.

    Biases and what belongs to normalisation, that is tensors of less than two dimensions, keep the common step size,
    as in the released codes, unless the model has no others or `vectors` is true.

    Args:
        vectors: Whether tensors of less than two dimensions get step sizes of their own in any model.
        shapes: Of the tensors, in order. A run fills in those of its model; without, a vector is one tensor.
    """

    vectors: bool = False
    shapes: tuple[tuple[int, ...], ...] | None = None

    def for_layout(self, layout: Layout) -> Self:
        return replace(self, shapes=tuple(tuple(shape) for shape in layout.shapes.values()))

    def places(self, d: int) -> list[slice]:
        """Where in a vector of length d the tensors are that get step sizes of their own, L of them."""
        layout = self._layout(d)
        every = layout.places
        return [every[i] for i in self.chosen(d)]

    def chosen(self, d: int) -> list[int]:
        """Which tensors these are, by number."""
        shapes = self._layout(d).shapes.values()
        every = self.vectors or all(len(shape) < 2 for shape in shapes)
        return [i for i, shape in enumerate(shapes) if prod(shape) and (every or len(shape) >= 2)]

    def norms(self, x: Tensor) -> Tensor:
        """(k, L) the l2 norms of these tensors in the rows of x (k, d), in double precision."""
        return part_norms(x, self.places(x.shape[1]))

    def multiplied(self, x: Tensor, scales: Tensor) -> Tensor:
        """The rows of x (k, d) with these tensors multiplied by `scales` (k, L), in new memory."""
        result = x.clone()
        for place, scale in zip(self.places(x.shape[1]), scales.to(x.dtype).unbind(dim=1), strict=True):
            result[:, place] *= scale[:, None]
        return result

    def _layout(self, d: int) -> Layout:
        """Of vectors of length d."""
        layout = Layout({str(i): shape for i, shape in enumerate(((d,),) if self.shapes is None else self.shapes)})
        if layout.d != d:
            raise ValueError(f"{type(self).__name__}: the tensors hold {layout.d} numbers, the vector has {d}")
        return layout

    def momentum_update(
        self, memory: Momentum, gradient: Tensor, lr: float, scales: Tensor, order: str
    ) -> tuple[float, Tensor]:
        """The update by momentum with learning rates `lr` times `scales` (k, L)."""
        if order == "accumulate-then-scale" or memory.buffer is None:
            return -lr, self.multiplied(memory.descend(gradient), scales)
        step = self.multiplied(gradient, scales)
        step *= lr
        return -1.0, memory.descend(step)


def ratios(above: Tensor, below: Tensor) -> Tensor:
    """above / below, and 1 where either is 0."""
    return torch.where((above > 0) & (below > 0), above / below, torch.ones_like(above))
