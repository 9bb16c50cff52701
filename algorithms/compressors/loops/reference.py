"""What `quantizing` and `powers` do, in plain torch: for accelerators, for short vectors, and to check them against.

Only element-wise operations, each rounded by itself, so the results are the same bits.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from algorithms.compressors.wire.symbols import MULTIPLIERS, SHIFTS, SIGN, STRIPE, UNIFORM, WEYL, Grid

HALF_WORD = 0xFFFFFFFF  # torch has no unsigned arithmetic: 32-bit words live in the low half of an int64
BELOW_2_63 = (1 << 63) - 1
SIGN_BIT = -1 << 63


def scrambled(low: int, high: int, like: Tensor) -> Tensor:
    """32 random bits for each entry of a vector, as int64."""
    i = torch.arange(len(like), device=like.device) & HALF_WORD
    h = i * WEYL + int(low) & HALF_WORD
    h = (h ^ h >> SHIFTS[0]) * MULTIPLIERS[0] & HALF_WORD
    h = (h ^ h >> SHIFTS[1] ^ int(high)) * MULTIPLIERS[1] & HALF_WORD
    return (h ^ h >> SHIFTS[2]) * MULTIPLIERS[2] & HALF_WORD


def uniforms(low: int, high: int, like: Tensor) -> Tensor:
    """A number in [0, 1) for each entry of a vector, in its precision."""
    h = scrambled(low, high, like)
    if like.dtype == torch.float32:
        return (h >> 8).to(torch.float32) * 2.0**-24
    return h.to(torch.float64) * 2.0**-32


def to_symbols(kind: int, x: Tensor, grid: Grid[Tensor], random: bool, key: tuple[int, int]) -> Tensor:
    """(d,) int64, the symbols of x. See `rounding.Rule`.

    Args:
        key: The halves of the key, the low one first.
    """
    if kind == SIGN:
        return (x < 0).long()
    s, scales, powers, tables, bucket = grid
    b = torch.arange(len(x), device=x.device) // bucket
    if kind == UNIFORM:
        place = x.abs() * powers[b] * scales[b]
        level = place.long()
        level = (level + (uniforms(*key, x) < place - level)).clamp(max=s)
        return torch.where(x < 0, s - level, s + level)
    place = x * powers[b] * scales[b]
    b = b.clamp(max=len(tables) - 1)
    if len(tables) == 1:
        symbols = torch.searchsorted(tables[0, 1:-1], place, right=True)
    else:
        symbols = torch.zeros_like(b)
        for t in range(1, tables.shape[1] - 1):
            symbols += place >= tables[b, t]
    below, above = tables[b, symbols], tables[b, symbols + 1]
    share = uniforms(*key, x) if random else 0.5
    return symbols + (place - below > share * (above - below))


def from_symbols(kind: int, symbols: Tensor, grid: Grid[Tensor]) -> Tensor:
    """(d,) the numbers that symbols stand for."""
    s, scales, powers, tables, bucket = grid
    b = torch.arange(len(symbols), device=symbols.device) // bucket
    if kind == SIGN:
        return torch.where(symbols == 1, -scales[b], scales[b])
    if kind == UNIFORM:
        return (symbols - s).to(scales) * scales[b] * powers[b]
    return tables[b.clamp(max=len(tables) - 1), symbols] * scales[b] * powers[b]


def pack(symbols: Tensor, base: int, count: int) -> Tensor:
    """Symbols, a multiple of `count`, as int64 words that are numbers of `count` digits in this base."""
    powers = _powers(base, count, symbols.device)
    return torch.cat([(part * powers).sum(dim=1).flatten() for part in _stripes(symbols, count)])


def unpack(words: Tensor, base: int, count: int) -> Tensor:
    """The reverse of `pack`, (words * count,)."""
    return torch.cat([_digits(part, base, count).flatten() for part in _stripes(words, 1)])


def _stripes(numbers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The full stripes of words of `count` numbers, (stripes, count, STRIPE), and what is left, (1, count, words)."""
    stripes, rest = divmod(len(numbers) // count, STRIPE)
    whole = stripes * STRIPE * count
    return numbers[:whole].view(stripes, count, STRIPE), numbers[whole:].view(1, count, rest)


def _digits(words: Tensor, base: int, count: int) -> Tensor:
    """(stripes, count, words): the digits of words (stripes, 1, words), which are numbers without a sign."""
    places = torch.arange(count, device=words.device)[:, None]
    if base & (base - 1) == 0:
        return words >> places * (base.bit_length() - 1) & (base - 1)
    powers = _powers(base, count, words.device)  # below 2^63
    quotients = (words >> 1 & BELOW_2_63) // powers * 2  # by each power; up to 1 too small
    rests = words - quotients * powers
    quotients += (rests ^ SIGN_BIT) >= (powers ^ SIGN_BIT)  # without a sign
    quotients[:, :-1] -= base * quotients[:, 1:]
    return quotients


def to_powers(x: Tensor, low: int, high: int) -> Tensor:
    """(d,) int64: the sign and exponent of each entry after rounding to a power of two, see `powers`."""
    random = scrambled(low, high, x)
    if x.dtype == torch.float32:
        return (x.view(torch.int32).long() & HALF_WORD) + (random >> 9) >> 23 & 0x1FF
    return x.view(torch.int64) + (random << 20) >> 52 & 0xFFF


def from_powers(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """The powers of two with these signs and exponents."""
    if dtype == torch.float32:
        return (codes << 23).to(torch.int32).view(torch.float32)
    return (codes << 52).view(torch.float64)


@lru_cache
def _powers(base: int, count: int, device: torch.device) -> Tensor:
    """(count, 1): the words base^0, base^1, ..."""
    return torch.tensor([_signed(base**j) for j in range(count)], device=device)[:, None]


def _signed(word: int) -> int:
    """The number below 2^64 as int64 holds it."""
    return word - (1 << 64) if word > BELOW_2_63 else word
