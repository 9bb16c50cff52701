"""The group lasso."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal, Self

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.layout import Layout
from algorithms.proximal.proximal import Proximal
from algorithms.proximal.rows import check_weight, each_row, norms_of_rows
from algorithms.proximal.tensors import Shapes, checked_shapes, cut, shapes_of


@dataclass(frozen=True)
class GroupLasso(Proximal):
    """weight sum_g sqrt(p_g) |x_g|_2 over groups g of p_g entries: whole groups become zero.

    Yuan & Lin, "Model selection and estimation in regression with grouped variables", JRSS B 68(1), 2006, with their
    factor sqrt(p_g), which makes groups of different sizes alike. The prox multiplies each group by
    max(0, 1 - step weight sqrt(p_g) / |x_g|_2).

    Args:
        weight: >= 0.
        groups: What a group is: each of the model's "tensors"; each of the "rows" of the tensors, a tensor (o, ...)
            having o of them, and one of a single dimension, such as a bias, one; or so many consecutive entries of
            the vector, >= 1, of which the length of the vector is a multiple.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`, unless groups have a fixed number of
            entries.
    """

    weight: float = 1e-3
    groups: int | Literal["tensors", "rows"] = "tensors"
    shapes: Shapes | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_weight(self, "weight")
        named = self.groups in ("tensors", "rows")
        counted = isinstance(self.groups, int) and self.groups >= 1
        check(named or counted, self, "groups", "tensors, rows, or a number of entries >= 1")

    def for_layout(self, layout: Layout) -> Self:
        if isinstance(self.groups, int):
            self._sections(layout.d)
            return self
        return replace(self, shapes=shapes_of(layout))

    def value(self, x: Tensor) -> Tensor:
        sections = self._sections(x.shape[1])

        def value(row: Tensor) -> Tensor:
            norms = [math.sqrt(group.shape[1]) * norms_of_rows(group).sum() for group in cut(row, sections)]
            return self.weight * torch.stack(norms).sum()

        return each_row(value, x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        sections = self._sections(z.shape[1])

        def prox(row: Tensor) -> Tensor:
            return torch.cat([self._prox(group, step).flatten() for group in cut(row, sections)])

        return each_row(prox, z)

    def _prox(self, groups: Tensor, step: float) -> Tensor:
        """Of groups (g, p) of the same size."""
        threshold = step * self.weight * math.sqrt(groups.shape[1])
        norms = norms_of_rows(groups)
        # A group within the threshold is zero, also where both are.
        return groups * torch.where(norms > threshold, 1 - threshold / norms, 0)[:, None]

    def _sections(self, d: int) -> list[tuple[int, int]]:
        """Consecutive parts of a vector (d,), each as (number of groups, entries of each)."""
        if isinstance(self.groups, int):
            check(d % self.groups == 0, self, "groups", f"a divisor of d = {d}, the number of parameters")
            return [(d // self.groups, self.groups)]
        sections = []
        for shape in checked_shapes(self, self.shapes, d):
            rows = shape[0] if self.groups == "rows" and len(shape) > 1 else 1
            sections.append((rows, prod(shape) // rows if rows else 0))
        return sections
