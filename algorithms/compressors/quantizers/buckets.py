"""Vectors in buckets of consecutive entries that share a norm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

AT_ONCE = 1 << 18  # entries that are solved for at a time, few enough for the caches


def count_of(d: int, bucket: int | None) -> int:
    """Buckets of d entries, the last of which may have less; one if there is no size."""
    return -(-d // (bucket or d))


def sizes_of(d: int, bucket: int) -> Tensor:
    """(buckets,) float64: entries of each."""
    sizes = torch.full((count_of(d, bucket),), float(bucket), dtype=torch.float64)
    sizes[-1] = d - bucket * (len(sizes) - 1)
    return sizes


def rows_of(x: Tensor, bucket: int) -> Tensor:
    """(buckets, bucket), the last one filled with zeros."""
    return torch.nn.functional.pad(x, (0, -len(x) % bucket)).view(-1, bucket)


def spread(values: Tensor, d: int, bucket: int) -> Tensor:
    """(d,) the value of its bucket for each entry."""
    return values.repeat_interleave(bucket)[:d]


def solve_rows(x: Tensor, bucket: int, solve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Tensor:
    """(buckets, numbers) what `solve` makes of the entries of each bucket of x (d,), in double precision.

    Args:
        solve: From some buckets of the same size (rows, size), whose entries are below 1, to (rows, numbers).
    """
    array = x.cpu().numpy()
    whole = len(array) // bucket * bucket
    rows, at_once = array[:whole].reshape(-1, bucket), max(1, AT_ONCE // bucket)
    parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
    if whole < len(array):
        parts.append(array[None, whole:])
    solved = []
    for part in parts:
        exponents = np.frexp(np.abs(part).max(axis=1, keepdims=True))[1]
        solved.append(np.ldexp(solve(np.ldexp(part.astype(np.float64), -exponents)), exponents))
    return torch.from_numpy(np.concatenate(solved)).to(x.device)
