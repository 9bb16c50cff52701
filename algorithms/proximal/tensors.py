"""The tensors of a model in a flat vector, for regularizers that treat them one by one."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from algorithms.layout import Layout
from algorithms.proximal.proximal import Proximal

Shapes = tuple[tuple[int, ...], ...]


def shapes_of(layout: Layout) -> Shapes:
    """The shapes of the tensors of a model, in order."""
    return tuple(tuple(shape) for shape in layout.shapes.values())


def checked_shapes(owner: Proximal, shapes: Shapes | None, d: int) -> Shapes:
    """The shapes, if the vector (d,) consists of such tensors.

    Raises:
        ValueError: It does not, or they are not known.
    """
    if shapes is None:
        raise ValueError(
            f"{type(owner).__name__} needs the model's tensors: give it their layout by for_layout(layout)"
        )
    held = sum(map(prod, shapes))
    if held != d:
        raise ValueError(f"{type(owner).__name__}: shapes hold {held} parameters, the vector {d}")
    return shapes


def cut(row: Tensor, sections: list[tuple[int, int]]) -> list[Tensor]:
    """The parts of a vector (d,), one after the other, as matrices of so many rows and columns."""
    parts = row.split([rows * columns for rows, columns in sections])
    return [part.view(section) for part, section in zip(parts, sections, strict=True)]


def tensors_of(row: Tensor, shapes: Shapes) -> list[Tensor]:
    """The tensors in a vector (d,), in double precision and in their own memory, whose alignment is always the same."""
    parts = row.split([prod(shape) for shape in shapes])
    copies = [part.to(torch.float64, copy=True) for part in parts]
    return [part.view(shape) for part, shape in zip(copies, shapes, strict=True)]
