"""Compiled loops over long vectors. Without fastmath, every product and every sum is rounded by itself."""

from __future__ import annotations

import numpy as np
from numba import njit

from algorithms.numerics.compiling import compiled
from algorithms.numerics.reference import LANES, STEPS


@compiled
def add_scaled_into(out, x, c, y, start, stop):  # type: ignore[no-untyped-def]
    """out = x + c y from start to stop, for vectors (d,); c has their type, and `out` may be one of them."""
    target, first, second = out[start:stop], x[start:stop], y[start:stop]
    for i in range(target.size):
        target[i] = first[i] + c * second[i]


@njit(inline="always")
def without_sign(bits):  # type: ignore[no-untyped-def]
    """All bits but that of the sign."""
    return bits.dtype.type((1 << (8 * bits.itemsize - 1)) - 1)


@compiled
def largest_of(x, bucket, out):  # type: ignore[no-untyped-def]
    """out[b] = the bits of the largest magnitude in bucket b: of NaN or infinity, if there is any.

    Args:
        x: The vector as signed integers of its size: without their sign, floating-point numbers are in their order.
    """
    mask = without_sign(x)
    for b in range(out.size):
        part = x[b * bucket : (b + 1) * bucket]
        largest = x.dtype.type(0)
        for i in range(part.size):
            largest = max(largest, x.dtype.type(part[i] & mask))
        out[b] = largest


@compiled
def copy_into(out, x):  # type: ignore[no-untyped-def]
    """out = x, vectors as signed integers as in `largest_of`; gives the bits of the largest magnitude, as that does."""
    mask = without_sign(x)
    largest = x.dtype.type(0)
    for i in range(out.size):
        bits = x[i]
        out[i] = bits
        largest = max(largest, x.dtype.type(bits & mask))
    return largest


@njit(inline="always")
def _halved(lanes):  # type: ignore[no-untyped-def]
    """The sum of the lanes: the second half is added to the first, again and again."""
    size = lanes.size // 2
    while size:
        for lane in range(size):
            lanes[lane] += lanes[size + lane]
        size //= 2
    return lanes[0]


@compiled
def sums_of(x, squared, bucket, out):  # type: ignore[no-untyped-def]
    """out[b] = the sum of the magnitudes in bucket b, or of the squares, in double precision.

    In blocks of LANES x STEPS entries: entry i of a block belongs to lane i % LANES, lanes are summed by halving, and
    the sums of the blocks are summed in the same way until one is left.
    """
    size = LANES * STEPS
    lanes = np.empty(LANES)
    partial = np.empty((min(bucket, x.size) + size - 1) // size)
    for b in range(out.size):
        part = x[b * bucket : (b + 1) * bucket]
        count = (part.size + size - 1) // size
        for block in range(count):
            entries = part[block * size : (block + 1) * size]
            lanes[:] = 0
            whole = entries.size // LANES * LANES
            for start in range(0, whole, LANES):
                if squared:
                    for lane in range(LANES):
                        value = np.float64(entries[start + lane])
                        lanes[lane] += value * value
                else:
                    for lane in range(LANES):
                        lanes[lane] += np.float64(abs(entries[start + lane]))
            for i in range(whole, entries.size):
                value = np.float64(entries[i])
                lanes[i - whole] += value * value if squared else abs(value)
            partial[block] = _halved(lanes)
        while count > 1:
            blocks = (count + size - 1) // size
            for block in range(blocks):
                lanes[:] = 0
                for i in range(block * size, min(count, (block + 1) * size)):
                    lanes[i % LANES] += partial[i]
                partial[block] = _halved(lanes)
            count = blocks
        out[b] = partial[0] if count else 0.0
