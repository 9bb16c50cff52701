"""Compiled loops of sparsifiers: which entries are large, and where they are on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from algorithms.compressors.wire.symbols import WORD
from algorithms.numerics.compiling import compiled
from algorithms.numerics.loops import without_sign


@compiled
def write_rice(numbers, r, low, unary):  # type: ignore[no-untyped-def]
    """Rice code: the r low bits of each number, and the quotients number >> r as so many zeros and a one.

    Args:
        low, unary: Bytes that are 0, filled from the lowest bit on.
    """
    word, bits, byte = np.uint64(0), 0, 0
    mask = (np.uint64(1) << np.uint64(r)) - np.uint64(1)
    position = 0
    for i in range(numbers.size):
        word |= (np.uint64(numbers[i]) & mask) << np.uint64(bits)
        bits += r
        while bits >= 8:
            low[byte] = np.uint8(word & np.uint64(255))
            word >>= np.uint64(8)
            bits -= 8
            byte += 1
        position += numbers[i] >> r
        unary[position >> 3] |= np.uint8(1 << (position & 7))
        position += 1
    if bits:
        low[byte] = np.uint8(word)


@compiled
def read_rice(low, unary, r, numbers):  # type: ignore[no-untyped-def]
    """The reverse of `write_rice`; gives the number of bits of `unary` that were read, -1 if there are too few."""
    word, bits, byte = np.uint64(0), 0, 0
    mask = (np.uint64(1) << np.uint64(r)) - np.uint64(1)
    position, end = 0, 8 * unary.size
    for i in range(numbers.size):
        while bits < r:
            word |= np.uint64(low[byte]) << np.uint64(bits)
            bits += 8
            byte += 1
        start = position
        while position < end and not unary[position >> 3] >> (position & 7) & 1:
            position += 1
        if position == end:
            return -1
        numbers[i] = (position - start << r) + np.int64(word & mask)
        word >>= np.uint64(r)
        bits -= r
        position += 1
    return position


@intrinsic
def _lowest_bit(context: Any, word: Any) -> Any:
    """The number of zeros below the lowest one of a word that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@compiled
def at_least(bits, threshold, indices, magnitudes):  # type: ignore[no-untyped-def]
    """Find the entries whose magnitude is at least a threshold; gives their number, -1 if they do not fit.

    Args:
        bits: The vector as signed integers of its size.
        threshold: The bits of a number without sign.
        indices: Where the entries are, ascending, is written here,
        magnitudes: and their bits without sign here.
    """
    mask = without_sign(bits)
    count = 0
    for start in range(0, bits.size, WORD):
        part = bits[start : start + WORD]
        found = np.uint64(0)
        for i in range(part.size):
            found |= np.uint64(bits.dtype.type(part[i] & mask) >= threshold) << np.uint64(i)
        if count + part.size > indices.size:
            return -1
        while found:
            i = np.int64(_lowest_bit(found))
            indices[count] = start + i
            magnitudes[count] = part[i] & mask
            count += 1
            found &= found - np.uint64(1)
    return count
