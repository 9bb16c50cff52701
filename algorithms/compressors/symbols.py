"""Numbers below some base on the wire, packed to a fraction of a bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.compressors.wire import Bytes

WORD = 64  # bits


def digits_per_word(base: int) -> int:
    """How many symbols of 0..base-1 a word of 64 bits holds."""
    count = 1
    while base ** (count + 1) <= 1 << WORD:
        count += 1
    return count


def length(n: int, base: int) -> int:
    """Bytes that n symbols take."""
    return 8 * -(-n // digits_per_word(base))


def encode(symbols: NDArray[np.uint64], base: int) -> Bytes:
    """Symbols (n,) below `base`: little-endian words, each a number in that base, its first digit the lowest."""
    count = digits_per_word(base)
    padded = np.zeros(-(-len(symbols) // count) * count, np.uint64)
    padded[: len(symbols)] = symbols
    powers = np.array([base**i for i in range(count)], np.uint64)
    return (padded.reshape(-1, count) * powers).sum(axis=1, dtype=np.uint64).view(np.uint8)


def decode(packed: Bytes, n: int, base: int) -> NDArray[np.uint64]:
    """The n symbols in `length(n, base)` bytes."""
    words = packed.copy().view(np.uint64)
    digits = np.empty((len(words), digits_per_word(base)), np.uint64)
    for i in range(digits.shape[1]):
        words, digits[:, i] = np.divmod(words, np.uint64(base))
    return digits.reshape(-1)[:n]
