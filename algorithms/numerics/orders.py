"""Random orders of many nodes at once: those that NumPy's generators give, compiled.

`generator(seed, purpose, node, epoch).permutation(size)` takes some 30 microseconds, most of them to seed the
generator, which thousands of nodes pay at each epoch. Here are the same steps on plain integers:
`numpy.random.SeedSequence` (O'Neill, "Developing a seed_seq alternative", 2015), PCG64 (XSL RR 128/64; O'Neill, "PCG: a
family of simple fast space-efficient statistically good algorithms", HMC-CS-2014-0905), and Fisher and Yates' shuffle
with numbers of as many bits as the bound has, drawn until one is within it. Imported where it is used: numba is heavy.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from algorithms.numerics.compiling import compiled

LOW = np.uint64(0xFFFFFFFF)  # the lower 32 bits; all below are uint64, as numba makes floats of mixed integers
ONE, SHIFT, HALF, TOP, WHOLE = (np.uint64(bits) for bits in (1, 16, 32, 58, 64))
INIT_A, MULT_A = np.uint64(0x43B0D7E5), np.uint64(0x931E8875)  # of SeedSequence
INIT_B, MULT_B = np.uint64(0x8B51F9DD), np.uint64(0x58F38DED)
MIX_LEFT, MIX_RIGHT = np.uint64(0xCA01F9DD), np.uint64(0x4973F715)
STEP_HIGH, STEP_LOW = np.uint64(0x2360ED051FC65DA4), np.uint64(0x4385DF649FCCF645)  # PCG64's multiplier


@njit(inline="always")
def _hashed(value, factor, multiplier):  # type: ignore[no-untyped-def]
    """A word of 32 bits and the next factor."""
    value ^= factor
    factor = (factor * multiplier) & LOW
    value = (value * factor) & LOW
    return value ^ (value >> SHIFT), factor


@njit(inline="always")
def _mixed(x, y):  # type: ignore[no-untyped-def]
    word = (MIX_LEFT * x - MIX_RIGHT * y) & LOW
    return word ^ (word >> SHIFT)


@njit(inline="always")
def _seeded(words, pool, seeds):  # type: ignore[no-untyped-def]
    """The four words of 64 bits, seeds (4,), that follow from 4 or more words of 32 bits; pool (4,) is used."""
    factor = INIT_A
    for i in range(4):
        pool[i], factor = _hashed(words[i], factor, MULT_A)
    for source in range(4):
        for target in range(4):
            if source != target:
                word, factor = _hashed(pool[source], factor, MULT_A)
                pool[target] = _mixed(pool[target], word)
    for source in range(4, words.size):
        for target in range(4):
            word, factor = _hashed(words[source], factor, MULT_A)
            pool[target] = _mixed(pool[target], word)
    factor = INIT_B
    for i in range(4):
        low, factor = _hashed(pool[2 * i % 4], factor, MULT_B)
        high, factor = _hashed(pool[(2 * i + 1) % 4], factor, MULT_B)
        seeds[i] = low | (high << HALF)


@njit(inline="always")
def _high_product(a, b):  # type: ignore[no-untyped-def]
    """The upper 64 bits of a product of two words of 64."""
    a_low, a_high, b_low, b_high = a & LOW, a >> HALF, b & LOW, b >> HALF
    middle = a_high * b_low + ((a_low * b_low) >> HALF)
    other = a_low * b_high + (middle & LOW)
    return a_high * b_high + (middle >> HALF) + (other >> HALF)


@njit(inline="always")
def _advanced(high, low, add_high, add_low):  # type: ignore[no-untyped-def]
    """PCG64's state, 128 bits in two words, one step later."""
    product_low = low * STEP_LOW
    product_high = _high_product(low, STEP_LOW) + high * STEP_LOW + low * STEP_HIGH
    new_low = product_low + add_low
    carry = ONE if new_low < add_low else ONE - ONE
    return product_high + add_high + carry, new_low


@njit(inline="always")
def _shuffled(order, seeds):  # type: ignore[no-untyped-def]
    """Shuffle an order with the PCG64 that has these seeds (4,)."""
    add_high, add_low = (seeds[2] << ONE) | (seeds[3] >> (WHOLE - ONE)), (seeds[3] << ONE) | ONE
    low = add_low + seeds[1]  # a state of 0 is advanced, the seed is added, and it is advanced again
    high = add_high + seeds[0] + (ONE if low < seeds[1] else ONE - ONE)
    high, low = _advanced(high, low, add_high, add_low)
    kept, left = ONE, False  # the upper half of the last output, which is the next word of 32 bits
    mask = ONE
    while mask < np.uint64(order.size - 1):
        mask = (mask << ONE) | ONE
    for i in range(order.size - 1, 0, -1):
        if np.uint64(i) <= mask >> ONE:
            mask >>= ONE
        while True:  # until a number is at most i: half of those of so many bits are, or more
            if left:
                word, left = kept, False
            else:
                high, low = _advanced(high, low, add_high, add_low)
                turn, both = high >> TOP, high ^ low
                output = (both >> turn) | (both << ((WHOLE - turn) & (WHOLE - ONE)))
                word, kept, left = output & LOW, output >> HALF, True
            if (word & mask) <= np.uint64(i):
                break
        j = np.int64(word & mask)
        order[i], order[j] = order[j], order[i]


@compiled
def _fill_batches(words, node_at, nodes, sizes, first, out):  # type: ignore[no-untyped-def]
    """out[r, j] = the example first[r] + j of what node r goes through, one order of its `sizes[r]` after another.

    Args:
        words: (words,), what seeds an order, with the node at `node_at` and the epoch behind it.
        node_at: See there.
        nodes: (k,) uint64, below 2^32.
        sizes: (k,) int64.
        first: (k,) int64, the number of the first example of each since the start.
        out: (k, batch) int64, which is written.
    """
    own, pool, seeds = words.copy(), np.empty(4, np.uint64), np.empty(4, np.uint64)
    orders = np.empty(sizes.max(), np.int64)
    for r in range(nodes.size):
        order = orders[: sizes[r]]
        epoch = np.int64(-1)
        for j in range(out.shape[1]):
            due, place = (first[r] + j) // sizes[r], (first[r] + j) % sizes[r]
            if due != epoch:
                epoch = due
                own[node_at], own[node_at + 1] = nodes[r], np.uint64(epoch)
                for i in range(order.size):
                    order[i] = i
                _seeded(own, pool, seeds)
                _shuffled(order, seeds)
            out[r, j] = order[place]


def batches(
    seed: int,
    purpose: int,
    nodes: NDArray[np.int64],
    sizes: NDArray[np.int64],
    first: NDArray[np.int64] | int,
    batch: int,
) -> NDArray[np.int64]:
    """(k, batch): which examples each node uses, from its number `first` on of those that it goes through in epochs.

    The order of a node's epoch is `numpy.random.default_rng([seed, purpose, node, epoch]).permutation(size)`.

    Args:
        seed: >= 0.
        purpose: 0 to 2^32 - 1.
        nodes: (k,), below 2^32.
        sizes: (k,), the number of examples of each, below 2^32.
        first: (k,), or the same of all; the epochs must be below 2^32.
        batch: Examples of each node.
    """
    words = np.array([*_words_of(seed), purpose, 0, 0], np.uint64)
    out = np.empty((len(nodes), batch), np.int64)
    _fill_batches(words, len(words) - 2, nodes.astype(np.uint64), sizes, np.full(len(nodes), first, np.int64), out)
    return out


@cache
def agree() -> bool:
    """Whether these orders are those of the NumPy that is here, which may change its own from version to version."""
    theirs = [np.random.default_rng([seed, 3, 5, 0]).permutation(200) for seed in (7, 1 << 40)]
    ours = [batches(seed, 3, np.array([5]), np.array([200]), 0, 200)[0] for seed in (7, 1 << 40)]
    return all(map(np.array_equal, ours, theirs))


def _words_of(number: int) -> list[int]:
    """The words of 32 bits of a number, the lowest first, as SeedSequence takes it."""
    words = [number & 0xFFFFFFFF]
    while number := number >> 32:
        words.append(number & 0xFFFFFFFF)
    return words
