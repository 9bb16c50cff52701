"""Vectors in buckets of consecutive entries that share a norm."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.compressors import wire


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


def read_norms(payload: Tensor, out: Tensor, bucket: int, each: int = 1) -> tuple[Tensor, Tensor]:
    """(the numbers that a payload begins with, `each` for every bucket of `out`; the bytes that follow)."""
    size = count_of(len(out), bucket) * each * out.itemsize
    if len(payload) < size:
        raise ValueError(f"a payload of {len(payload)} bytes, of which the norms alone take {size}")
    return wire.from_bytes(payload[:size].to(out.device), out.dtype), payload[size:]
