"""Norms and sums of vectors in buckets of consecutive entries: the same bits compiled or not, on any device.

Sums run in double precision in a fixed order (`loops.sums_of`), whatever the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from algorithms.numerics import reference
from algorithms.numerics.compiled import compiles, parts_of

SAFE = 1e-140, 1e140  # magnitudes whose squares neither vanish nor overflow in double precision


def largest_magnitudes(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the largest magnitude in each bucket of x (d,), in its precision; NaN where there is one."""
    if not compiles(x):
        return reference.largest_of(x, bucket)
    from algorithms.numerics.loops import largest_of

    out = torch.empty(-(-len(x) // bucket), dtype=x.dtype)
    bits = np.int64 if x.dtype == torch.float64 else np.int32
    largest_of(x.numpy().view(bits), bucket, out.numpy().view(bits))
    return out


def sums_of_magnitudes(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the sum of the magnitudes in each bucket of x (d,), in double precision."""
    return _sums(x, False, bucket)


def sums_of_squares(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the sum of the squares in each bucket of x (d,), in double precision; of doubles they may overflow."""
    return _sums(x, True, bucket)


def sums_of_entries(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the sum of the entries in each bucket of x (d,), in double precision."""
    return sums_of_magnitudes(x.clamp(min=0), bucket) - sums_of_magnitudes(x.clamp(max=0), bucket)


def l2_norms(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the l2 norm of each bucket of x (d,), in double precision."""
    # Squares of doubles may overflow or vanish, those of single precision cannot.
    largest = largest_magnitudes(x, len(x)) if x.dtype == torch.float64 else None
    if largest is None or SAFE[0] < float(largest) < SAFE[1]:
        return sums_of_squares(x, bucket).sqrt()
    exponent = int(np.frexp(float(largest))[1])
    up, down = (math.ldexp(1, max(-1000, min(1000, power))) for power in (-exponent, exponent))
    return sums_of_squares(x * up, bucket).sqrt() * down


def row_norms(x: Tensor) -> Tensor:
    """(k,) the l2 norms of the rows of x (k, d), in double precision; none's bits depend on the other rows."""
    rows, d = x.contiguous(), x.shape[1]
    with parts_of(rows.nbytes):
        if x.dtype == torch.float64:
            largest = largest_magnitudes(rows.view(-1), d)
            if not bool(((largest == 0) | (largest > SAFE[0]) & (largest < SAFE[1])).all()):
                return torch.cat([l2_norms(row, d) for row in rows])
        return sums_of_squares(rows.view(-1), d).sqrt()


def clipped_rows(x: Tensor, limit: float) -> Tensor:
    """(k, d): the rows of x, each scaled down to this l2 norm if it is longer."""
    return x * (limit / row_norms(x)[:, None]).clamp(max=1).to(x.dtype)


def part_norms(x: Tensor, places: Sequence[slice]) -> Tensor:
    """(k, parts) the l2 norms of these parts of the rows of x (k, d), in double precision."""
    with parts_of(x.nbytes):
        return torch.stack([row_norms(x[:, place]) for place in places], dim=1)


def _sums(x: Tensor, squared: bool, bucket: int) -> Tensor:
    if not compiles(x):
        return reference.sums_of(x, squared, bucket)
    from algorithms.numerics.loops import sums_of

    out = torch.empty(-(-len(x) // bucket), dtype=torch.float64)
    sums_of(x.numpy(), squared, bucket, out.numpy())
    return out
