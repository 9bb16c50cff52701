"""Some rows of a stack that is otherwise 0."""

from __future__ import annotations

import math
from mmap import mmap

import torch
from torch import Tensor

from algorithms.state import Rows

LAZY = 1 << 22  # bytes from which memory that is never touched saves more than it costs to ask for


def placed(rows: Tensor, places: Rows, k: int) -> Tensor:
    """(k, ...): these rows at their places, ascending, and zeros elsewhere; the rows themselves if there are no others.

    Of a large stack on the CPU only the rows given take time and memory: the system has the zeros.
    """
    if len(rows) == k:
        return rows
    stack = _zeros((k, *rows.shape[1:]), rows)
    stack[places] = rows
    return stack


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    size = math.prod(shape) * like.element_size()
    if size < LAZY or not like.is_cpu:
        return like.new_zeros(shape)
    return torch.frombuffer(mmap(-1, size), dtype=like.dtype).view(shape)
