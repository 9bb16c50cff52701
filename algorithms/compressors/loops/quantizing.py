"""Compiled loops of quantizers, each one pass over memory. `reference` has the same in plain torch, bit for bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit

from algorithms.compressors.wire import symbols
from algorithms.compressors.wire.symbols import SIGN, STRIPE, UNIFORM
from algorithms.numerics.compiling import compiled

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


# Symbols are whole numbers in single precision, of which some at a time make a chunk below `CHUNK`: symbol i times the
# power is added to entry i of the chunk.


@njit(inline="always")
def _add_signs(values, chunk, power):  # type: ignore[no-untyped-def]
    for i in range(chunk.size):
        symbol = np.float32(1) if values[i] < 0 else np.float32(0)
        chunk[i] += symbol * power


@njit(inline="always")
def _add_multiples(values, most, scaling, random, chunk, power):  # type: ignore[no-untyped-def]
    (up, scale), (counter, high) = scaling, random
    one = values.dtype.type(1)
    for i in range(chunk.size):
        place = abs(values[i]) * up * scale
        level = np.floor(place)
        if _uniform(counter, high, values) < place - level:
            level += one
        symbol = np.float32(most + np.copysign(min(level, most), values[i]))
        counter = np.uint32(counter + WEYL)
        chunk[i] += symbol * power


@njit(inline="always")
def _find_levels(values, table, scaling, found):  # type: ignore[no-untyped-def]
    """Write which levels are the last ones below the values."""
    up, scale = scaling
    found[:] = 0
    if table.size > FEW_LEVELS:
        for i in range(found.size):
            found[i] = np.float32(_last_below(table, values[i] * up * scale))
    else:
        for t in range(1, table.size - 1):
            for i in range(found.size):
                if values[i] * up * scale >= table[t]:
                    found[i] += np.float32(1)


@njit(inline="always")
def _add_levels(values, levels, scaling, random, chunk, power):  # type: ignore[no-untyped-def]
    """Of the levels that were found and those above them, the next or a random one."""
    (table, found), (up, scale), (at_random, counter, high) = levels, scaling, random
    half = values.dtype.type(0.5)
    for i in range(chunk.size):
        at = np.int32(found[i])
        share = _uniform(counter, high, values) if at_random else half
        above = values[i] * up * scale - table[at] > share * (table[at + 1] - table[at])
        symbol = np.float32(at + np.int32(above))  # no branch, which nobody could predict
        counter = np.uint32(counter + WEYL)
        chunk[i] += symbol * power


# A function for each kind of rule: only loops without questions in them are compiled to the fastest code.


@cache
def packer(kind: int, random: bool) -> Any:
    """The function that packs the symbols of a kind of rule, see `rounding.Rule`."""

    @compiled
    def pack(x, origin, grid, key, form, words):  # type: ignore[no-untyped-def]
        """The symbols of x from entry `origin` on, as many as the words hold.

        Args:
            grid: A `Grid`.
            key: Its halves.
            form: The `Digits` of each word.
        """
        (s, scales, powers, tables, bucket), (low, high), (base, count) = grid, key, form
        chunk, numbers = np.empty(STRIPE, np.float32), np.empty(STRIPE, np.float32)
        digits, most = digits_per_chunk(base, count), x.dtype.type(s)
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
                        values, target = x[begin:end], chunk[begin - start : end - start]
                        scaling, counter = (powers[b], scales[b]), counter_of(begin, low)
                        if kind == SIGN:
                            _add_signs(values, target, power)
                        elif kind == UNIFORM:
                            _add_multiples(values, most, scaling, (counter, high), target, power)
                        else:
                            table, found = tables[min(b, tables.shape[0] - 1)], numbers[: end - begin]
                            _find_levels(values, table, scaling, found)
                            _add_levels(values, (table, found), scaling, (random, counter, high), target, power)
                        begin = end
                    power *= np.float32(base)
                for w in range(width):
                    part[w] += np.uint64(np.int32(chunk[w])) * factor
                factor *= np.uint64(power)
            first += width

    return pack


@njit(inline="always")
def _beyond(words, in_bits, bounds):  # type: ignore[no-untyped-def]
    """Whether a digit of some word is no symbol: not 0 if so. See `symbols.Bounds`."""
    largest, unused, shift, mask, more, over = bounds
    found = np.uint64(0)
    if not in_bits:
        for w in range(words.size):
            found |= np.uint64(words[w] > largest)
    elif mask or unused:
        for w in range(words.size):
            word = words[w]
            found |= ((word & mask) + more | (word >> shift & mask) + more) & over | word & unused
    return found


@njit(inline="always")
def _split_bits(rest, shift, mask, chunk):  # type: ignore[no-untyped-def]
    """Move the lowest bits of words to a chunk."""
    for w in range(chunk.size):
        chunk[w] = np.int32(rest[w] & mask)
        rest[w] = rest[w] >> shift


@njit(inline="always")
def _split_digits(rest, divisor, reciprocal, chunk):  # type: ignore[no-untyped-def]
    """Divide words by a number, and write what is left to a chunk.

    Without the division of integers: a quotient that is wrong by a little, and what it lacks.
    """
    for w in range(chunk.size):
        quotient = np.int64(np.float64(rest[w]) * reciprocal)
        left = np.int64(rest[w] - np.uint64(quotient) * divisor)
        more = np.floor((np.float64(left) + 0.5) * reciprocal)
        chunk[w] = np.float32(np.float64(left) - more * np.float64(divisor))
        rest[w] = np.uint64(quotient + np.int64(more))


@njit(inline="always")
def _next_bits(chunk, i, shift, mask):  # type: ignore[no-untyped-def]
    """The lowest digit of a number of the chunk, which loses it."""
    digit = np.int32(chunk[i] & mask)
    chunk[i] = np.int32(chunk[i] >> shift)
    return digit


@njit(inline="always")
def _next_digit(chunk, i, radix, inverse):  # type: ignore[no-untyped-def]
    """The same for any base. Single precision is exact enough: the half keeps the product away from whole numbers."""
    above = np.floor((chunk[i] + np.float32(0.5)) * inverse)
    digit = chunk[i] - above * radix
    chunk[i] = above
    return digit


@njit(inline="always")
def _bits_of(base):  # type: ignore[no-untyped-def]
    shift = np.int32(0)
    while base > np.int64(1) << shift:
        shift += np.int32(1)
    return shift


@cache
def unpacker(kind: int, in_bits: bool, add: bool) -> Any:
    """The reverse of `packer`, for bases that are powers of two (`in_bits`) or are not.

    It writes the numbers that symbols stand for to `out` from entry `origin` on, or adds them times the weight, and
    gives 0 if all are symbols. If not, what was written is wrong.
    """

    @compiled
    def unpack(packed, origin, grid, form, weight, out):  # type: ignore[no-untyped-def]
        """`packed` are the words, and their `symbols.Bounds`."""
        (words, bounds), (s, scales, powers, tables, bucket), (base, count) = packed, grid, form
        rest, chunk = np.empty(STRIPE, np.uint64), np.empty(STRIPE, np.int32 if in_bits else np.float32)
        digits = digits_per_chunk(base, count)
        divisor, shift, mask = np.uint64(base) ** np.uint64(digits), _bits_of(base), np.int32(base - 1)
        radix, inverse, most = np.float32(base), np.float32(1) / np.float32(base), out.dtype.type(s)
        first, wrong = 0, np.uint64(0)
        while first < words.size:
            width = min(STRIPE, words.size - first)
            rest[:width] = words[first : first + width]
            wrong |= _beyond(rest[:width], in_bits, bounds)
            for chunk_start in range(0, count, digits):
                if in_bits:
                    _split_bits(rest, np.uint64(shift * digits), divisor - np.uint64(1), chunk[:width])
                else:
                    _split_digits(rest, divisor, 1.0 / np.float64(divisor), chunk[:width])
                for j in range(chunk_start, min(chunk_start + digits, count)):
                    start = origin + first * count + j * width
                    begin = start
                    while begin < start + width:
                        b = begin // bucket
                        end = min(start + width, (b + 1) * bucket)
                        scale, down, table = scales[b], powers[b], tables[min(b, tables.shape[0] - 1)]
                        part, target = chunk[begin - start : end - start], out[begin:end]
                        for i in range(end - begin):
                            digit = (
                                _next_bits(part, i, shift, mask) if in_bits else _next_digit(part, i, radix, inverse)
                            )
                            if kind == SIGN:
                                value = -scale if digit else scale
                            elif kind == UNIFORM:
                                value = (out.dtype.type(digit) - most) * scale * down
                            else:  # no symbol is beyond the table but those that are wrong
                                value = table[min(np.int32(digit), np.int32(table.size - 1))] * scale * down
                            target[i] = target[i] + weight * value if add else value
                        begin = end
            first += width
        return wrong

    return unpack


@compiled
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
