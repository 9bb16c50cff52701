"""Numbers below some base on the wire, packed to a fraction of a bit.

A word of 64 bits holds as many symbols as fit, each a digit of a number in that base, lowest digit first. In a stripe
of w words their j-th digits are w consecutive symbols: symbol j w + i is digit j of word i. Stripes have `STRIPE`
words, the last one what is left; symbols that fill no word follow in one that is cut to the bytes it needs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

STRIPE = 256  # words: what a compiled loop works on stays in the first-level cache
WORD = 64  # bits

Coding = Literal["digits", "entropy"]
Numbers = TypeVar("Numbers")  # a torch tensor, or a NumPy array where loops are compiled

SIGN, UNIFORM, LEVELS = range(3)  # kinds of rules from numbers to symbols, see `rounding.Rule`

# What compiled loops and torch operations must agree on: how counters become random numbers.
WEYL = 0x9E3779B9
SHIFTS = 16, 13, 16
MULTIPLIERS = 0x85EBCA6B, 0xC2B2AE35, 0x7FEB352D


class Digits(NamedTuple):
    """How a word holds symbols."""

    base: int
    """The word is a number in this base."""

    per_word: int
    """It has so many digits, each of which is a symbol."""


class Bounds(NamedTuple):
    """What tells whether all digits of a word are symbols, without taking it apart.

    A digit of `radix` may be larger than the symbols are. Then `more` takes it past its place, which `over` shows:
    first those of the even places, then, after a shift, those of the odd ones, so that there is room above each.
    """

    largest: int
    """The largest word."""

    unused: int
    """The bits that no digit has, where digits have whole bits."""

    shift: int
    """Bits from one digit to the next, where there are such digits; 0 where none needs to be looked at."""

    mask: int
    """The bits of the digits at even places."""

    more: int
    """What is added to each of them."""

    over: int
    """The bit above each of them."""


class Grid(NamedTuple, Generic[Numbers]):
    """The levels that numbers are rounded to, and what takes numbers to them or levels back, see `rounding.Rule`."""

    s: int
    """Positive levels, where they are uniform."""

    scales: Numbers
    """(buckets,) what the numbers of a bucket are multiplied by."""

    powers: Numbers
    """(buckets,) powers of two that they are multiplied by as well, which keep the products within the range."""

    tables: Numbers
    """(buckets or 1, base) the ascending levels, where they are not uniform."""

    bucket: int
    """Entries of a bucket."""


@lru_cache
def digits_per_word(base: int) -> int:
    """How many symbols of 0..base-1 a word of 64 bits holds."""
    count = 1
    while base ** (count + 1) <= 1 << WORD:
        count += 1
    return count


@lru_cache
def radix(base: int) -> int:
    """The base of the words: the next power of two if a word holds as many digits of that, which take no division."""
    bits = max(1, (base - 1).bit_length())
    return 1 << bits if WORD // bits == digits_per_word(base) else base


@lru_cache
def bounds(base: int, count: int) -> Bounds:
    """Of a word that holds `count` symbols of 0..base-1."""
    wide = radix(base)
    bits = wide.bit_length() - 1
    if wide == base:
        whole = base & (base - 1) == 0
        return Bounds(base**count - 1, (1 << WORD) - base**count if whole else 0, 0, 0, 0, 0)
    even = sum(1 << bits * place for place in range(0, count, 2))
    unused = (1 << WORD) - wide**count
    return Bounds(wide**count - 1, unused, bits, even * (wide - 1), even * (wide - base), even * wide)


def length(n: int, base: int) -> int:
    """Bytes that n symbols take."""
    words, rest = divmod(n, digits_per_word(base))
    return 8 * words + bytes_of(rest, base)


def bytes_of(n: int, base: int) -> int:
    """Bytes that hold n digits of one number."""
    return -(-(radix(base) ** n - 1).bit_length() // 8)


def entropy(symbols: Tensor, base: int) -> float:
    """Bits that an ideal code for symbols of these frequencies takes, without the frequencies."""
    counts = torch.bincount(symbols.cpu(), minlength=base).double()
    counts = counts[counts > 0]
    return float((counts * (counts.sum() / counts).log2()).sum())
