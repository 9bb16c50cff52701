"""What an algorithm carries from one step to the next, in typed parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, cast

from torch import Tensor

T = TypeVar("T")


@dataclass
class Block:
    """A part of a state: a dataclass of what belongs to the local nodes, with what is done to it.

    The kind of a field says what belongs to single nodes, which may move to another process:

    * a tensor has one row for each local node, also where all rows are equal; a message one packed row;
    * a list has one item for each local node: tensors of any shapes, or numbers;
    * a tuple, a dict and a block have parts that are such fields themselves;
    * numbers, texts and None belong to no node and are the same on every rank.

    That is all that a checkpoint, a move to another rank or to a device needs to know.
    """

    past: ClassVar[tuple[str, ...]] = ()
    """The fields that hold what past gradients have left, such as momentum, which moves parameters that get none."""


@dataclass
class State(Block):
    """Everything that an algorithm carries from one step to the next; each algorithm adds fields of its own."""

    x: Tensor
    """(k, d), the point where the next gradient is wanted."""

    step: int = field(default=0, kw_only=True)
    """The steps done. Whoever drives the algorithm counts them."""


def map_tensors(part: T, function: Callable[[Tensor], Tensor]) -> T:
    """A part of a state with each tensor that it holds replaced by what the function makes of it.

    Blocks, and the state itself, are changed in place; messages stay as they are.
    """
    if isinstance(part, Tensor):
        return cast(T, function(part))
    if isinstance(part, list | tuple):
        return cast(T, type(part)(map_tensors(each, function) for each in part))
    if isinstance(part, dict):
        return cast(T, {key: map_tensors(each, function) for key, each in part.items()})
    if isinstance(part, Block):
        for name, each in vars(part).items():
            setattr(part, name, map_tensors(each, function))
    return part
