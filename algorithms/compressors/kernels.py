"""Compiled loops of compression, each one pass over memory. `reference` has the same in plain torch, bit for bit."""

from __future__ import annotations

import numpy as np
from numba import njit

from algorithms.compressors.symbols import SIGN, STRIPE, UNIFORM

BLOCK, FEW = 64, 8  # entries that are skipped together if none of them counts
LANES, STEPS = 64, 64  # of a sum
SHIFTS = (np.uint32(16), np.uint32(13), np.uint32(16))
MULTIPLIERS = (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35), np.uint32(0x7FEB352D))
CHUNK = 1 << 21  # below it, single precision and its products with inverses of bases are exact enough
WEYL = np.uint32(0x9E3779B9)
FEW_LEVELS = 64  # are compared with one after another, more by halving


@njit(cache=True, nogil=True)
def at_least(x, threshold, indices, magnitudes):  # type: ignore[no-untyped-def]
    """Write the i with |x[i]| >= threshold, ascending, and these |x[i]|; gives their number, -1 if they do not fit."""
    count = 0
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        if _reaches(part, threshold):
            if count + part.size > indices.size:
                return -1
            for first in range(0, part.size, FEW):
                few = part[first : first + FEW]
                if _reaches(few, threshold):
                    for i in range(few.size):
                        indices[count] = start + first + i
                        magnitudes[count] = abs(few[i])
                        count += abs(few[i]) >= threshold
    return count


@njit(inline="always")
def _reaches(part, threshold):  # type: ignore[no-untyped-def]
    some = False
    for i in range(part.size):
        some |= abs(part[i]) >= threshold
    return some


@njit(cache=True, nogil=True)
def pick(magnitudes, least, equal, indices, picked):  # type: ignore[no-untyped-def]
    """Write the indices of the magnitudes above `least`, and of the first so many that are equal to it."""
    count = 0
    for i in range(magnitudes.size):
        if magnitudes[i] > least:
            picked[count] = indices[i]
            count += 1
        elif magnitudes[i] == least and equal > 0:
            equal -= 1
            picked[count] = indices[i]
            count += 1


@njit(cache=True, nogil=True)
def largest_of(x, bucket, out):  # type: ignore[no-untyped-def]
    """out[b] = the bits of the largest magnitude in bucket b: of NaN or infinity, if there is any.

    Args:
        x: The vector as signed integers of its size: without their sign, floating-point numbers are in their order.
    """
    without_sign = x.dtype.type((1 << (8 * x.itemsize - 1)) - 1)
    for b in range(out.size):
        part = x[b * bucket : (b + 1) * bucket]
        largest = x.dtype.type(0)
        for i in range(part.size):
            largest = max(largest, x.dtype.type(part[i] & without_sign))
        out[b] = largest


@njit(inline="always")
def _halved(lanes):  # type: ignore[no-untyped-def]
    """The sum of the lanes: the second half is added to the first, again and again."""
    size = lanes.size // 2
    while size:
        for lane in range(size):
            lanes[lane] += lanes[size + lane]
        size //= 2
    return lanes[0]


@njit(cache=True, nogil=True)
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


@njit(inline="always")
def _counter(i, low):  # type: ignore[no-untyped-def]
    """What the random number of entry i is made from, with one half of the key; `WEYL` more is that of the next."""
    return np.uint32(np.uint32(i) * WEYL + low)


@njit(inline="always")
def _scrambled(counter, high):  # type: ignore[no-untyped-def]
    """32 random bits: the counter scrambled, with the other half of the key."""
    h = np.uint32(counter ^ (counter >> SHIFTS[0]))
    h = np.uint32(h * MULTIPLIERS[0])
    h = np.uint32(h ^ (h >> SHIFTS[1]) ^ high)
    h = np.uint32(h * MULTIPLIERS[1])
    h = np.uint32(h ^ (h >> SHIFTS[2]))
    return np.uint32(h * MULTIPLIERS[2])


@njit(inline="always")
def _uniform(counter, high, like):  # type: ignore[no-untyped-def]
    """A number in [0, 1) in the precision of an array."""
    h = _scrambled(counter, high)
    if like.itemsize == 4:
        return np.float32(np.int32(h >> np.uint32(8))) * np.float32(2.0**-24)
    return np.float64(np.int64(h)) * 2.0**-32


# From numbers to symbols, a function for each kind of rule: loops by themselves are compiled to the fastest code.


@njit(cache=True, nogil=True)
def _to_signs(x, symbols):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        symbols[i] = np.float32(1) if x[i] < 0 else np.float32(0)


@njit(cache=True, nogil=True)
def _to_steps(x, symbols, up, scale, most, counter, high):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        place = abs(x[i]) * up * scale
        level = np.floor(place)
        if _uniform(counter, high, x) < place - level:
            level += x.dtype.type(1)
        counter = np.uint32(counter + WEYL)
        symbols[i] = np.float32(most + np.copysign(min(level, most), x[i]))


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


@njit(cache=True, nogil=True)
def _to_levels(x, symbols, up, scale, table, random, counter, high):  # type: ignore[no-untyped-def]
    symbols[:] = 0
    if table.size > FEW_LEVELS:
        for i in range(x.size):
            symbols[i] = np.float32(_last_below(table, x[i] * up * scale))
    else:
        for t in range(1, table.size - 1):
            for i in range(x.size):
                if x[i] * up * scale >= table[t]:
                    symbols[i] += np.float32(1)
    for i in range(x.size):
        at = np.int32(symbols[i])
        share = _uniform(counter, high, x) if random else x.dtype.type(0.5)
        counter = np.uint32(counter + WEYL)
        above = x[i] * up * scale - table[at] > share * (table[at + 1] - table[at])
        symbols[i] = np.float32(at + np.int32(above))  # no branch, which nobody could predict


@njit(inline="always")
def _to_symbols(kind, x, start, symbols, s, scales, lift, tables, bucket, random, low, high):  # type: ignore[no-untyped-def]
    """The symbols of x[start : start + symbols.size], as whole float32. See `quantize.Rule`."""
    done = 0
    while done < symbols.size:
        first = start + done
        b = first // bucket
        size = min(symbols.size - done, (b + 1) * bucket - first)
        part, target = x[first : first + size], symbols[done : done + size]
        if kind == SIGN:
            _to_signs(part, target)
        elif kind == UNIFORM:
            _to_steps(part, target, lift[b], scales[b], x.dtype.type(s), _counter(first, low), high)
        else:
            table = tables[min(b, tables.shape[0] - 1)]
            _to_levels(part, target, lift[b], scales[b], table, random, _counter(first, low), high)
        done += size


@njit(cache=True, nogil=True)
def to_symbols(kind, x, start, s, scales, lift, tables, bucket, random, low, high, out):  # type: ignore[no-untyped-def]
    """The symbols of x from an entry on, as many as there is room for."""
    _to_symbols(kind, x, start, out, s, scales, lift, tables, bucket, random, low, high)


@njit(inline="always")
def digits_per_chunk(base, count):  # type: ignore[no-untyped-def]
    """Digits that a number below `CHUNK` holds, the fewest that take no more numbers for `count` digits."""
    most = 1
    while base ** (most + 1) <= CHUNK:
        most += 1
    chunks = (count + most - 1) // most
    return (count + chunks - 1) // chunks


@njit(cache=True, nogil=True)
def _add_digits(chunks, symbols, power):  # type: ignore[no-untyped-def]
    for w in range(chunks.size):
        chunks[w] += symbols[w] * power


@njit(cache=True, nogil=True)
def _add_chunks(words, chunks, factor):  # type: ignore[no-untyped-def]
    for w in range(words.size):
        words[w] += np.uint64(np.int32(chunks[w])) * factor


@njit(cache=True, nogil=True)
def pack(  # type: ignore[no-untyped-def]
    kind, x, s, scales, lift, tables, bucket, random, low, high, base, count, words
):
    """Symbols of x, `count` in each of the words; entries beyond `words.size * count` are left out.

    Some digits at a time are summed in single precision, where numbers below `CHUNK` are exact.
    """
    symbols, chunk = np.empty(STRIPE, np.float32), np.empty(STRIPE, np.float32)
    digits = digits_per_chunk(base, count)
    first = 0
    while first < words.size:
        width = min(STRIPE, words.size - first)
        part = words[first : first + width]
        part[:] = 0
        factor = np.uint64(1)
        for chunk_start in range(0, count, digits):
            chunk[:width] = 0
            power = np.float32(1)
            for j in range(chunk_start, min(chunk_start + digits, count)):
                start = first * count + j * width
                _to_symbols(kind, x, start, symbols[:width], s, scales, lift, tables, bucket, random, low, high)
                _add_digits(chunk[:width], symbols[:width], power)
                power *= np.float32(base)
            _add_chunks(part, chunk[:width], factor)
            factor *= np.uint64(power)
        first += width


# And back, written or added.


@njit(cache=True, nogil=True)
def _set_signs(symbols, scale, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = -scale if symbols[i] else scale


@njit(cache=True, nogil=True)
def _add_signs(symbols, scale, weight, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] += weight * (-scale if symbols[i] else scale)


@njit(cache=True, nogil=True)
def _set_steps(symbols, most, scale, down, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = (out.dtype.type(symbols[i]) - most) * scale * down


@njit(cache=True, nogil=True)
def _add_steps(symbols, most, scale, down, weight, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] += weight * ((out.dtype.type(symbols[i]) - most) * scale * down)


@njit(cache=True, nogil=True)
def _set_levels(symbols, table, scale, down, out):  # type: ignore[no-untyped-def]
    last = np.int32(table.size - 1)  # no symbol is beyond it unless it was made up
    for i in range(out.size):
        out[i] = table[min(np.int32(symbols[i]), last)] * scale * down


@njit(cache=True, nogil=True)
def _add_levels(symbols, table, scale, down, weight, out):  # type: ignore[no-untyped-def]
    last = np.int32(table.size - 1)
    for i in range(out.size):
        out[i] += weight * (table[min(np.int32(symbols[i]), last)] * scale * down)


@njit(inline="always")
def _from_symbols(kind, symbols, start, s, scales, drop, tables, bucket, add, weight, out):  # type: ignore[no-untyped-def]
    """Write the numbers that symbols stand for to out[start : start + symbols.size], or add them times the weight."""
    done = 0
    while done < symbols.size:
        first = start + done
        b = first // bucket
        size = min(symbols.size - done, (b + 1) * bucket - first)
        part, target = symbols[done : done + size], out[first : first + size]
        table, most = tables[min(b, tables.shape[0] - 1)], out.dtype.type(s)
        if kind == SIGN:
            if add:
                _add_signs(part, scales[b], weight, target)
            else:
                _set_signs(part, scales[b], target)
        elif kind == UNIFORM:
            if add:
                _add_steps(part, most, scales[b], drop[b], weight, target)
            else:
                _set_steps(part, most, scales[b], drop[b], target)
        elif add:
            _add_levels(part, table, scales[b], drop[b], weight, target)
        else:
            _set_levels(part, table, scales[b], drop[b], target)
        done += size


@njit(cache=True, nogil=True)
def from_symbols(kind, symbols, start, s, scales, drop, tables, bucket, add, weight, out):  # type: ignore[no-untyped-def]
    """The numbers that symbols stand for, from an entry on."""
    _from_symbols(kind, symbols, start, s, scales, drop, tables, bucket, add, weight, out)


@njit(cache=True, nogil=True)
def unpack(kind, words, s, scales, drop, tables, bucket, base, count, add, weight, out):  # type: ignore[no-untyped-def]
    """The reverse of `pack`: writes the numbers to `out`, or adds them times the weight."""
    symbols, rest = np.empty(STRIPE, np.float32), np.empty(STRIPE, np.uint64)
    chunk, bits = np.empty(STRIPE, np.float32), np.empty(STRIPE, np.int32)
    digits = digits_per_chunk(base, count)
    divisor = np.uint64(base) ** np.uint64(digits)
    shift = np.int32(0)
    while base > np.int64(1) << shift:
        shift += np.int32(1)
    in_bits = base == np.int64(1) << shift
    first = 0
    while first < words.size:
        width = min(STRIPE, words.size - first)
        rest[:width] = words[first : first + width]
        for chunk_start in range(0, count, digits):
            if in_bits:
                _next_bits(rest[:width], shift * np.int32(digits), bits[:width])
            else:
                _next_chunks(rest[:width], divisor, chunk[:width])
            for j in range(chunk_start, min(chunk_start + digits, count)):
                if in_bits:
                    _next_digits_of_bits(bits[:width], shift, symbols[:width])
                else:
                    _next_digits(chunk[:width], np.float32(base), symbols[:width])
                start = first * count + j * width
                _from_symbols(kind, symbols[:width], start, s, scales, drop, tables, bucket, add, weight, out)
        first += width


@njit(cache=True, nogil=True)
def _next_bits(words, shift, chunks):  # type: ignore[no-untyped-def]
    mask = (np.uint64(1) << np.uint64(shift)) - np.uint64(1)
    for w in range(words.size):
        chunks[w] = np.int32(words[w] & mask)
        words[w] = words[w] >> np.uint64(shift)


@njit(cache=True, nogil=True)
def _next_digits_of_bits(chunks, shift, symbols):  # type: ignore[no-untyped-def]
    mask = np.int32((1 << shift) - 1)
    for w in range(chunks.size):
        symbols[w] = np.float32(np.int32(chunks[w] & mask))
        chunks[w] = np.int32(chunks[w] >> shift)


@njit(cache=True, nogil=True)
def _next_chunks(words, divisor, chunks):  # type: ignore[no-untyped-def]
    for w in range(words.size):
        quotient = words[w] // divisor
        chunks[w] = np.float32(np.int32(words[w] - quotient * divisor))
        words[w] = quotient


@njit(cache=True, nogil=True)
def _next_digits(chunks, base, symbols):  # type: ignore[no-untyped-def]
    """Exact below `CHUNK`: the half keeps the product away from whole numbers."""
    inverse, half = np.float32(1) / base, np.float32(0.5)
    for w in range(chunks.size):
        quotient = np.floor((chunks[w] + half) * inverse)
        symbols[w] = chunks[w] - quotient * base
        chunks[w] = quotient


# Natural compression: numbers are rounded to powers of two by adding random bits to them as integers. What is left of
# the exponents' and the sign's places is a code, of which the lowest byte and the digit above it travel apart.


@njit(cache=True, nogil=True)
def _to_powers32(bits, counter, high, low, digits):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        random = np.uint32(_scrambled(counter, high) >> np.uint32(9))
        counter = np.uint32(counter + WEYL)
        code = np.uint32(np.uint32(bits[i] + random) >> np.uint32(23))
        low[i] = np.uint8(code)
        digits[i] = np.uint8(code >> np.uint32(8))


@njit(cache=True, nogil=True)
def _to_powers64(bits, counter, high, low, digits):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        random = np.uint64(_scrambled(counter, high)) << np.uint64(20)
        counter = np.uint32(counter + WEYL)
        code = np.uint64(bits[i] + random) >> np.uint64(52)
        low[i] = np.uint8(code)
        digits[i] = np.uint8(code >> np.uint64(8))


@njit(cache=True, nogil=True)
def _times(x, factor, out):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        out[i] = x[i] * factor


@njit(cache=True, nogil=True)
def _largest_bits(bits, without_sign, largest):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        largest = max(largest, bits.dtype.type(bits[i] & without_sign))
    return largest


@njit(cache=True, nogil=True)
def _add_places(words, digits, place):  # type: ignore[no-untyped-def]
    for w in range(words.size):
        words[w] |= np.uint64(digits[w]) << place


@njit(inline="always")
def _to_powers(bits, counter, high, low, digits):  # type: ignore[no-untyped-def]
    if bits.itemsize == 4:
        _to_powers32(bits, counter, high, low, digits)
    else:
        _to_powers64(bits, counter, high, low, digits)


@njit(cache=True, nogil=True)
def to_powers(x, up, low_key, high, count, low, words, rest, buffer, bits):  # type: ignore[no-untyped-def]
    """Codes of the entries of x: their low bytes, and the digits above these, `count` in a word, as `pack` places them.

    Args:
        up: What they are multiplied by before.
        rest: Receives the digits of the entries that fill no word.
        buffer: Room for a stripe's width of numbers,
        bits: and the same memory as unsigned integers.

    Returns:
        The largest magnitude as an integer, of what was multiplied.
    """
    largest = bits.dtype.type(0)
    without_sign = bits.dtype.type((1 << (8 * bits.itemsize - 1)) - 1)
    digits = np.empty(STRIPE, np.uint8)
    first = 0
    while first < words.size:
        width = min(STRIPE, words.size - first)
        part = words[first : first + width]
        part[:] = 0
        for j in range(count):
            start = first * count + j * width
            _times(x[start : start + width], up, buffer[:width])
            largest = _largest_bits(bits[:width], without_sign, largest)
            _to_powers(bits[:width], _counter(start, low_key), high, low[start : start + width], digits[:width])
            _add_places(part, digits[:width], np.uint64(j * (64 // count)))
        first += width
    start = words.size * count
    if rest.size:
        _times(x[start:], up, buffer[: rest.size])
        largest = _largest_bits(bits[: rest.size], without_sign, largest)
        _to_powers(bits[: rest.size], _counter(start, low_key), high, low[start:], rest)
    return largest


@njit(cache=True, nogil=True)
def _from_powers32(low, digits, bits):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        bits[i] = np.uint32(np.uint32(low[i]) << np.uint32(23)) | np.uint32(np.uint32(digits[i]) << np.uint32(31))


@njit(cache=True, nogil=True)
def _from_powers64(low, digits, bits):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        bits[i] = (np.uint64(low[i]) << np.uint64(52)) | (np.uint64(digits[i]) << np.uint64(60))


@njit(cache=True, nogil=True)
def _next_places(words, place, mask, digits):  # type: ignore[no-untyped-def]
    for w in range(words.size):
        digits[w] = np.uint8((words[w] >> place) & mask)


@njit(cache=True, nogil=True)
def _add_times(values, down, weight, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] += weight * (values[i] * down)


@njit(inline="always")
def _from_powers(low, digits, buffer, bits, down, add, weight, out):  # type: ignore[no-untyped-def]
    if bits.itemsize == 4:
        _from_powers32(low, digits, bits)
    else:
        _from_powers64(low, digits, bits)
    if add:
        _add_times(buffer, down, weight, out)
    else:
        _times(buffer, down, out)


@njit(cache=True, nogil=True)
def from_powers(low, words, rest, down, count, add, weight, out, buffer, bits):  # type: ignore[no-untyped-def]
    """The reverse of `to_powers`: writes the numbers times `down` to `out`, or adds them times the weight."""
    digits = np.empty(STRIPE, np.uint8)
    size = 64 // count
    mask = (np.uint64(1) << np.uint64(size)) - np.uint64(1)
    first = 0
    while first < words.size:
        width = min(STRIPE, words.size - first)
        part = words[first : first + width]
        for j in range(count):
            start = first * count + j * width
            target = out[start : start + width]
            _next_places(part, np.uint64(j * size), mask, digits[:width])
            _from_powers(
                low[start : start + width], digits[:width], buffer[:width], bits[:width], down, add, weight, target
            )
        first += width
    start = words.size * count
    if rest.size:
        size = rest.size
        _from_powers(low[start:], rest, buffer[:size], bits[:size], down, add, weight, out[start:])


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
