"""Memories of operators: their rows, and those of operators that are made of several."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from algorithms.state import Block


@dataclass
class PartMemories(Block):
    """What the parts of an operator remember that uses several, or one on several parts of a vector.

    Attributes:
        parts: The memory of each part in order, None of those that do not remember.
    """

    parts: tuple[Block | None, ...]


def memory_of_parts(parts: Sequence[Block | None]) -> Block | None:
    """Memories of parts as one; None if none of them remembers."""
    return PartMemories(tuple(parts)) if any(part is not None for part in parts) else None


def part_memory(memory: Block | None, part: int) -> Block | None:
    """The memory of one part, given those of all or nothing."""
    if memory is None:
        return None
    assert isinstance(memory, PartMemories), "made by memory_of_parts"
    return memory.parts[part]


def row_memory(memory: Block | None, row: int) -> Block | None:
    """What belongs to one row: a block of the same type whose tensors are views, to be changed in place."""
    return None if memory is None else _row_of(memory, row)


def _row_of(value: Any, row: int) -> Any:
    if isinstance(value, Tensor | list):
        return value[row]
    if isinstance(value, tuple):
        return tuple(_row_of(each, row) for each in value)
    if isinstance(value, dict):
        return {name: _row_of(each, row) for name, each in value.items()}
    if isinstance(value, Block):
        part = copy.copy(value)
        vars(part).update({name: _row_of(each, row) for name, each in vars(value).items()})
        return part
    return value
