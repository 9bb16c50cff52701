"""Memory: what the C library does with it when it is freed, where stacks begin in it, how MPI takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

HUGE = 1 << 21  # bytes of a huge page


def in_whole_pages(rows: int, d: int, dtype: torch.dtype) -> Tensor:
    """(rows, d) on the CPU, uninitialised; a large one begins with a huge page, if the system gives any.

    Of NumPy's memory: NumPy asks the system for huge pages, where torch does not.
    """
    size = rows * d * dtype.itemsize
    if size < HUGE:
        return torch.empty(rows, d, dtype=dtype)
    memory = torch.from_numpy(np.empty(size + HUGE, np.uint8))
    begin = -memory.data_ptr() % HUGE
    return memory[begin : begin + size].view(dtype).view(rows, d)


def as_bytes(tensor: Tensor) -> Any:
    """The memory of a contiguous tensor as MPI takes it, whatever its type: a NumPy array of bytes on the CPU."""
    flat = tensor.detach().view(torch.uint8)
    return flat if flat.is_cuda else flat.numpy()


def stack_of(rows: int, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """(rows, d), uninitialised, on the CPU by default."""
    if device is None or device.type == "cpu":
        return in_whole_pages(rows, d, dtype)
    return torch.empty(rows, d, dtype=dtype, device=device)
