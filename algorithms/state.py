"""What an algorithm carries from one step to the next, in typed parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

from torch import Tensor

T = TypeVar("T")
Rows = slice | list[int]
"""Some rows of a stack: those that follow each other as a slice, which is read and written without a copy."""


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


def as_rows(rows: Sequence[int]) -> Rows:
    """These rows, ascending, as a slice if they follow each other."""
    first, last = (rows[0], rows[-1] + 1) if rows else (0, 0)
    return slice(first, last) if last - first == len(rows) else list(rows)


def rows_of(part: T, rows: Rows) -> T:
    """A part of a state as of these local nodes alone, whose tensors are views where rows are a slice, else copies."""
    if isinstance(part, Tensor):
        return cast(T, part[rows])
    if isinstance(part, list):
        return cast(T, part[rows] if isinstance(rows, slice) else [part[row] for row in rows])
    if isinstance(part, tuple):
        return cast(T, tuple(rows_of(each, rows) for each in part))
    if isinstance(part, dict):
        return cast(T, {key: rows_of(each, rows) for key, each in part.items()})
    if isinstance(part, Block):
        made = copy(part)
        vars(made).update({name: rows_of(each, rows) for name, each in vars(part).items()})
        return made
    return part


def put_rows(part: T, rows: Rows, new: T) -> T:
    """A part of a state in which these local nodes have what `new`, of the same kind, has of them; see `rows_of`.

    Tensors, lists and blocks change in place. What belongs to no node is that of `new`.
    """
    if isinstance(part, Tensor):
        part[rows] = cast(Tensor, new)  # of a view to itself, no copy
        return part
    if isinstance(part, list):
        for row, each in zip(range(len(part))[rows] if isinstance(rows, slice) else rows, cast(Any, new), strict=True):
            part[row] = each
        return part
    if isinstance(part, tuple):
        return cast(T, tuple(put_rows(old, rows, each) for old, each in zip(part, cast(Any, new), strict=True)))
    if isinstance(part, dict):
        return cast(T, {key: put_rows(each, rows, cast(Any, new)[key]) for key, each in part.items()})
    if isinstance(part, Block):
        for name, each in vars(part).items():
            setattr(part, name, put_rows(each, rows, getattr(new, name)))
        return part
    return new
