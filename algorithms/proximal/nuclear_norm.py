"""The nuclear norm."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from algorithms.layout import Layout
from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import check_weight, each_row
from algorithms.proximal.tensors import Shapes, checked_shapes, shapes_of, tensors_of


@dataclass(frozen=True)
class NuclearNorm(Proximal):
    """weight times the sum of the singular values of all matrices of the model, its tensors of two dimensions.

    The prox moves each singular value towards 0 by step * weight, so that matrices become of low rank: Cai, Candès &
    Shen, "A singular value thresholding algorithm for matrix completion", SIAM J. Optim. 20(4), 2010, arXiv 0810.3286.
    Other tensors stay as they are.

    Args:
        weight: >= 0.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`.
    """

    weight: float = 1e-3
    shapes: Shapes | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_weight(self, "weight")

    def for_layout(self, layout: Layout) -> Self:
        if all(len(shape) != 2 for shape in layout.shapes.values()):
            raise ValueError("NuclearNorm: the model has no matrix, that is, no tensor of two dimensions")
        return replace(self, shapes=shapes_of(layout))

    def value(self, x: Tensor) -> Tensor:
        shapes = checked_shapes(self, self.shapes, x.shape[1])

        def value(row: Tensor) -> Tensor:
            sums = [torch.linalg.svdvals(part).sum() for part in tensors_of(row, shapes) if part.ndim == 2]
            return self.weight * torch.stack(sums).sum().to(row.dtype)

        return each_row(value, x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        shapes = checked_shapes(self, self.shapes, z.shape[1])

        def shrink(part: Tensor) -> Tensor:
            if part.ndim != 2:
                return part
            left, singular, right = torch.linalg.svd(part, full_matrices=False)
            return (left * (singular - step * self.weight).clamp(min=0)) @ right

        return each_row(
            lambda row: torch.cat([shrink(part).flatten() for part in tensors_of(row, shapes)]).to(row.dtype), z
        )
