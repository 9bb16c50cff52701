"""Compiled loops of quantizers, each one pass over memory. `reference` has the same in plain torch, bit for bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from algorithms.compressors.wire import symbols
from algorithms.compressors.wire.symbols import LEVELS, SIGN, STRIPE, UNIFORM

FEW_LEVELS = 64  # are compared with one after another, more by halving
CHUNK = 1 << 21  # below it, single precision and its products with inverses of bases are exact enough

# Half words: a plain number would make wide ones of all that it meets.
WEYL = np.uint32(symbols.WEYL)
SHIFTS = tuple(map(np.uint32, symbols.SHIFTS))
MULTIPLIERS = tuple(map(np.uint32, symbols.MULTIPLIERS))


@njit(inline="always")
def counter_of(i, low):  # type: ignore[no-untyped-def]
    """What the random number of entry i is made from, with one half of the key; `WEYL` more is that of the next."""
    return np.uint32(np.uint32(i) * WEYL + low)


@njit(inline="always")
def scrambled(counter, high):  # type: ignore[no-untyped-def]
    """32 random bits: a counter scrambled, with the other half of the key."""
    h = np.uint32(counter ^ (counter >> SHIFTS[0]))
    h = np.uint32(h * MULTIPLIERS[0])
    h = np.uint32(h ^ (h >> SHIFTS[1]) ^ high)
    h = np.uint32(h * MULTIPLIERS[1])
    h = np.uint32(h ^ (h >> SHIFTS[2]))
    return np.uint32(h * MULTIPLIERS[2])


@njit(inline="always")
def _uniform(counter, high, like):  # type: ignore[no-untyped-def]
    """A number in [0, 1) in the precision of an array, from a counter and the other half of the key."""
    h = scrambled(counter, high)
    if like.itemsize == 4:
        return np.float32(np.int32(h >> np.uint32(8))) * np.float32(2.0**-24)
    return np.float64(np.int64(h)) * 2.0**-32


@njit(inline="always")
def digits_per_chunk(base, count):  # type: ignore[no-untyped-def]
    """Digits that a number below `CHUNK` holds, the fewest that take no more numbers for `count` digits."""
    most = 1
    while base ** (most + 1) <= CHUNK:
        most += 1
    chunks = (count + most - 1) // most
    return (count + chunks - 1) // chunks


@njit(inline="always")
def _last_below(table, place):  # type: ignore[no-untyped-def]
    """The last of the levels that is not above a place, without the highest; the lowest if there is none."""
    first, last = 0, table.size - 2
    while first < last:
        middle = (first + last + 1) // 2
        if place >= table[middle]:
            first = middle
        else:
            last = middle - 1
    return first


# A function for each kind of rule: only loops without questions in them are compiled to the fastest code. Inside,
# symbols are whole numbers in single precision, of which some at a time make a chunk below `CHUNK`.


@cache
def packer(kind: int, random: bool) -> Any:
    """The function that packs the symbols of a kind of rule, see `rounding.Rule`."""

    @njit(cache=True, nogil=True)
    def pack(x, origin, s, scales, lift, tables, bucket, low, high, base, count, words):  # type: ignore[no-untyped-def]
        """The symbols of x from entry `origin` on, `count` in each of the words, as many as these hold."""
        chunk, numbers = np.empty(STRIPE, np.float32), np.empty(STRIPE, np.float32)
        digits = digits_per_chunk(base, count)
        most, one, half = x.dtype.type(s), x.dtype.type(1), x.dtype.type(0.5)
        first = 0
        while first < words.size:
            width = min(STRIPE, words.size - first)
            part = words[first : first + width]
            part[:] = 0
            factor = np.uint64(1)
            for chunk_start in range(0, count, digits):
                chunk[:] = 0
                power = np.float32(1)
                for j in range(chunk_start, min(chunk_start + digits, count)):
                    start = origin + first * count + j * width
                    begin = start
                    while begin < start + width:
                        b = begin // bucket
                        end = min(start + width, (b + 1) * bucket)
                        up, scale, table = lift[b], scales[b], tables[min(b, tables.shape[0] - 1)]
                        values, target = x[begin:end], chunk[begin - start : end - start]
                        counter = counter_of(begin, low)
                        if kind == LEVELS:
                            found = numbers[: end - begin]
                            found[:] = 0
                            if table.size > FEW_LEVELS:
                                for i in range(found.size):
                                    found[i] = np.float32(_last_below(table, values[i] * up * scale))
                            else:
                                for t in range(1, table.size - 1):
                                    for i in range(found.size):
                                        if values[i] * up * scale >= table[t]:
                                            found[i] += np.float32(1)
                        for i in range(end - begin):
                            if kind == SIGN:
                                symbol = np.float32(1) if values[i] < 0 else np.float32(0)
                            elif kind == UNIFORM:
                                place = abs(values[i]) * up * scale
                                level = np.floor(place)
                                if _uniform(counter, high, x) < place - level:
                                    level += one
                                symbol = np.float32(most + np.copysign(min(level, most), values[i]))
                            else:
                                at = np.int32(numbers[i])
                                share = _uniform(counter, high, x) if random else half
                                above = values[i] * up * scale - table[at] > share * (table[at + 1] - table[at])
                                symbol = np.float32(at + np.int32(above))  # no branch, which nobody could predict
                            counter = np.uint32(counter + WEYL)
                            target[i] += symbol * power
                        begin = end
                    power *= np.float32(base)
                for w in range(width):
                    part[w] += np.uint64(np.int32(chunk[w])) * factor
                factor *= np.uint64(power)
            first += width

    return pack


@cache
def unpacker(kind: int, in_bits: bool, add: bool) -> Any:
    """The reverse of `packer`, for bases that are powers of two (`in_bits`) or are not.

    Single precision is exact enough to find digits: the half keeps the product away from whole numbers.
    """

    @njit(cache=True, nogil=True)
    def unpack(words, origin, s, scales, drop, tables, bucket, base, count, weight, out):  # type: ignore[no-untyped-def]
        """Write the numbers that symbols stand for to `out` from entry `origin` on, or add them times the weight."""
        rest, chunk = np.empty(STRIPE, np.uint64), np.empty(STRIPE, np.int32 if in_bits else np.float32)
        digits = digits_per_chunk(base, count)
        divisor = np.uint64(base) ** np.uint64(digits)
        shift, mask = np.int32(0), np.int32(base - 1)
        while base > np.int64(1) << shift:
            shift += np.int32(1)
        long_shift, long_mask = np.uint64(shift * digits), divisor - np.uint64(1)
        radix, half, most = np.float32(base), np.float32(0.5), out.dtype.type(s)
        inverse, reciprocal = np.float32(1) / radix, 1.0 / np.float64(divisor)
        first = 0
        while first < words.size:
            width = min(STRIPE, words.size - first)
            rest[:width] = words[first : first + width]
            for chunk_start in range(0, count, digits):
                for w in range(width):
                    if in_bits:
                        chunk[w] = np.int32(rest[w] & long_mask)
                        rest[w] = rest[w] >> long_shift
                    else:
                        # Without the division of integers: a quotient that is wrong by a little, and what it lacks.
                        quotient = np.int64(np.float64(rest[w]) * reciprocal)
                        left = np.int64(rest[w] - np.uint64(quotient) * divisor)
                        more = np.floor((np.float64(left) + 0.5) * reciprocal)
                        chunk[w] = np.float32(np.float64(left) - more * np.float64(divisor))
                        rest[w] = np.uint64(quotient + np.int64(more))
                for j in range(chunk_start, min(chunk_start + digits, count)):
                    start = origin + first * count + j * width
                    begin = start
                    while begin < start + width:
                        b = begin // bucket
                        end = min(start + width, (b + 1) * bucket)
                        scale, down, table = scales[b], drop[b], tables[min(b, tables.shape[0] - 1)]
                        part, target = chunk[begin - start : end - start], out[begin:end]
                        for i in range(end - begin):
                            if in_bits:
                                digit = np.int32(part[i] & mask)
                                part[i] = np.int32(part[i] >> shift)
                            else:
                                above = np.floor((part[i] + half) * inverse)
                                digit = part[i] - above * radix
                                part[i] = above
                            if kind == SIGN:
                                value = -scale if digit else scale
                            elif kind == UNIFORM:
                                value = (out.dtype.type(digit) - most) * scale * down
                            else:  # no symbol is beyond the table unless it was made up
                                value = table[min(np.int32(digit), np.int32(table.size - 1))] * scale * down
                            if add:
                                target[i] += weight * value
                            else:
                                target[i] = value
                        begin = end
            first += width

    return unpack


@njit(cache=True, nogil=True)
def walsh_hadamard(rows):  # type: ignore[no-untyped-def]
    """Multiply each row, a power of two in length, by the Walsh-Hadamard matrix, by sums and differences alone."""
    for i in range(rows.shape[0]):
        row = rows[i]
        width = 1
        while width < row.size:
            for start in range(0, row.size, 2 * width):
                low, high = row[start : start + width], row[start + width : start + 2 * width]
                for j in range(width):
                    a, b = low[j], high[j]
                    low[j] = a + b
                    high[j] = a - b
            width *= 2
