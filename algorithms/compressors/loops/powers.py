"""Compiled loops of natural compression: powers of two as their signs and exponents.

Numbers are rounded to powers of two by adding random bits to them as integers. What is left in the places of sign and
exponent is a code, whose lowest byte and digit above travel apart.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from algorithms.compressors.loops.quantizing import WEYL, counter_of, scrambled
from algorithms.compressors.wire.symbols import STRIPE
from algorithms.numerics.compiling import compiled


@cache
def power_packer(double: bool) -> Any:
    """The function for one precision."""

    @compiled
    def pack(bits, origin, key, form, payload):  # type: ignore[no-untyped-def]
        """Codes of numbers from entry `origin` on: their low bytes, and the digits above.

        Args:
            bits: The numbers as unsigned integers.
            key: Its halves.
            form: The bits of a digit, and the digits of a word.
            payload: The bytes (d,) and the words, placed as all symbols are, which are written.
        """
        (low, high), (digit, count), (bytes_, words) = key, form, payload
        first = 0
        while first < words.size:
            width = min(STRIPE, words.size - first)
            part = words[first : first + width]
            part[:] = 0
            for j in range(count):
                start = origin + first * count + j * width
                values, targets = bits[start : start + width], bytes_[start : start + width]
                counter, place = counter_of(start, low), np.uint64(j * digit)
                for i in range(width):
                    random = scrambled(counter, high)
                    counter = np.uint32(counter + WEYL)
                    if double:
                        code = np.uint64(values[i] + (np.uint64(random) << np.uint64(20))) >> np.uint64(52)
                    else:
                        rounded = np.uint32(values[i] + np.uint32(random >> np.uint32(9)))
                        code = np.uint64(np.uint32(rounded >> np.uint32(23)))
                    targets[i] = np.uint8(code & np.uint64(255))
                    part[i] |= (code >> np.uint64(8)) << place
            first += width

    return pack


@cache
def power_unpacker(double: bool, add: bool) -> Any:
    """The reverse of `power_packer`."""

    @compiled
    def unpack(payload, origin, form, factors, out):  # type: ignore[no-untyped-def]
        """Write the numbers times the first factor to `out` from entry `origin` on, or add them times the second.

        Gives whether all numbers are finite.
        """
        (bytes_, words), (digit, count), (down, weight) = payload, form, factors
        exponent, found = np.uint64(0x7FF), np.uint64(0)
        largest = np.uint8(0)  # of the lowest bytes, which are the exponents in single precision
        numbers = np.empty(STRIPE, out.dtype)
        bits = numbers.view(np.uint64 if double else np.uint32)
        mask = (np.uint64(1) << np.uint64(digit)) - np.uint64(1)
        first = 0
        while first < words.size:
            width = min(STRIPE, words.size - first)
            part = words[first : first + width]
            for j in range(count):
                start = origin + first * count + j * width
                sources, target, place = bytes_[start : start + width], out[start : start + width], np.uint64(j * digit)
                if not double:
                    for i in range(width):
                        largest = max(largest, sources[i])
                for i in range(width):
                    code = np.uint64(sources[i]) | (part[i] >> place & mask) << np.uint64(8)
                    if double:
                        found |= np.uint64(code & exponent == exponent)
                        bits[i] = code << np.uint64(52)
                    else:
                        bits[i] = np.uint32(np.uint32(code) << np.uint32(23))
                for i in range(width):
                    if add:
                        target[i] += weight * (numbers[i] * down)
                    else:
                        target[i] = numbers[i] * down
            first += width
        return not found if double else largest < 0xFF

    return unpack
