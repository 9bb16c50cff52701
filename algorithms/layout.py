"""How the named tensors of a model lie in one flat parameter vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

Owner = TypeVar("Owner", bound=Any)


@dataclass(frozen=True)
class Layout:
    """The names and shapes of the tensors that make up a flat vector, in order.

    Attributes:
        shapes: name -> shape. The tensors follow each other without gaps in this order.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, model: nn.Module) -> Layout:
        """The layout of a torch model's parameters, in the order of `named_parameters`."""
        return cls({name: tuple(p.shape) for name, p in model.named_parameters()})

    @classmethod
    def vector(cls, d: int) -> Layout:
        """One tensor of d numbers, "x", for problems without layers."""
        return cls({"x": (d,)})

    @property
    def d(self) -> int:
        """Length of the flat vector."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def places(self) -> list[slice]:
        """Where each tensor lies in the vector."""
        stops = list(accumulate(map(prod, self.shapes.values()), initial=0))
        return [slice(start, stop) for start, stop in pairwise(stops)]

    def unflatten(self, x: Tensor) -> dict[str, Tensor]:
        """Views of the named tensors in `x`: (..., d) -> name -> (..., *shape)."""
        if x.shape[-1] != self.d:
            raise ValueError(f"this layout holds {self.d} parameters, the vector given has {x.shape[-1]}")
        pieces = x.split([prod(shape) for shape in self.shapes.values()], dim=-1)
        return {
            name: piece.reshape((*x.shape[:-1], *shape))
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors -> one flat vector: name -> (..., *shape) gives (..., d).

        Leading dimensions, if any, must be common to all tensors.

        Raises:
            ValueError: if a tensor does not end with its shape.
        """
        parts = []
        for name, shape in self.shapes.items():
            tensor = tensors[name]
            leading = tensor.shape[: tensor.ndim - len(shape)]
            if tensor.shape != (*leading, *shape):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, which does not end with {shape}")
            parts.append(tensor.reshape((*leading, prod(shape))))
        return torch.cat(parts, dim=-1)


def parts_for_layout(owner: Owner, layout: Layout) -> Owner:
    """A dataclass whose fields that have a method `for_layout`, such as compressors, are those for this layout.

    The very same object if that changes none of them.
    """
    parts = [(each.name, getattr(owner, each.name)) for each in fields(owner)]
    bound = {name: part.for_layout(layout) for name, part in parts if hasattr(part, "for_layout")}
    changed = {name: part for name, part in bound.items() if part is not getattr(owner, name)}
    return replace(owner, **changed) if changed else owner
