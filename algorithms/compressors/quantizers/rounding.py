"""Numbers as symbols of a few bits, and back: what quantizers share.

For large vectors on the CPU the loops are compiled (`loops.quantizing`), elsewhere they are torch operations
(`loops.reference`), with the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors.loops import reference
from algorithms.compressors.wire import entropy_coding
from algorithms.compressors.wire.symbols import (
    LEVELS,
    SIGN,
    UNIFORM,
    Coding,
    Digits,
    Grid,
    bounds,
    bytes_of,
    digits_per_word,
    length,
    radix,
)
from algorithms.numerics.compiled import compiles
from algorithms.randomness import Key

Norms = NDArray[Any]
NO_KEY = Key(0, 0, 0)
FARTHEST = 100  # powers of two that norms are scaled by at most, so that their inverses are normal numbers


@dataclass(frozen=True)
class Rule:
    """How the numbers of a vector become symbols below `base`, and back.

    A number x of bucket b becomes a symbol by its kind:

        SIGN      x < 0, and back to plus or minus norms[b];
        UNIFORM   s + l sign(x), where l is s |x| / norms[b], rounded at random without bias, and back to
                  (symbol - s) norms[b] / s;
        LEVELS    which of the ascending levels tables[b] (or tables[0], if all share one) is next to x / norms[b],
                  above or below at random without bias or the nearest, and back to that level times norms[b].

    Args:
        kind: One of these.
        base: Number of symbols.
        norms: (buckets,) in the precision of the vector.
        bucket: Entries of a bucket, the last of which may have less.
        tables: (buckets or 1, base), for levels.
        random: Whether rounding to levels is random.
    """

    kind: int
    base: int
    norms: Tensor
    bucket: int
    tables: Tensor
    random: bool = True

    @classmethod
    def signs(cls, scales: Tensor, bucket: int) -> Rule:
        """Plus or minus the scale of a bucket."""
        return cls(SIGN, 2, scales, bucket, scales[:, None])

    @classmethod
    def uniform(cls, s: int, norms: Tensor, bucket: int) -> Rule:
        """Multiples of norm / s."""
        return cls(UNIFORM, 2 * s + 1, norms, bucket, norms[:, None])

    @classmethod
    def levels(cls, tables: Tensor, norms: Tensor, bucket: int, random: bool) -> Rule:
        """The levels of a table, at least two, times the norm."""
        return cls(LEVELS, tables.shape[1], norms, bucket, tables.contiguous(), random)

    @classmethod
    def between(cls, levels: Tensor, bucket: int, random: bool) -> Rule:
        """The levels (buckets, base) themselves, without a norm: they are tables times powers of two."""
        table = levels.cpu().numpy()
        most = -np.finfo(table.dtype).minexp
        exponents = (np.frexp(np.abs(table).max(axis=1))[1] - 1).clip(-most, most)
        norms = torch.from_numpy(np.ldexp(table.dtype.type(1), exponents)).to(levels.device)
        tables = torch.from_numpy(np.ldexp(table, -exponents[:, None])).to(levels.device)
        return cls.levels(tables, norms, bucket, random)

    @property
    def s(self) -> int:
        """Positive levels."""
        return (self.base - 1) // 2

    @cached_property
    def forward(self) -> Grid[Tensor]:
        """Takes numbers to their places among the levels."""
        up, _, lifted = self._lifted
        with np.errstate(divide="ignore"):
            scales = np.where(lifted > 0, lifted.dtype.type(self._steps) / lifted, 0).astype(lifted.dtype)
        return self._grid(scales, up)

    @cached_property
    def back(self) -> Grid[Tensor]:
        """Takes levels to the numbers that they stand for."""
        if self.kind == SIGN:
            return Grid(self.s, self.norms, self.norms, self.tables, self.bucket)
        _, down, lifted = self._lifted
        return self._grid(lifted / lifted.dtype.type(self._steps), down)

    @property
    def _steps(self) -> int:
        """Levels from 0 to the norm."""
        return self.s if self.kind == UNIFORM else 1

    @cached_property
    def _lifted(self) -> tuple[Norms, Norms, Norms]:
        """Powers of two, their inverses, and the norms times the powers, which are far from the ends of the range."""
        norms = self.norms.cpu().numpy()
        exponents = np.minimum(np.maximum(np.frexp(norms)[1], -FARTHEST), FARTHEST)
        one = norms.dtype.type(1)
        up = np.ldexp(one, -exponents)
        return up, np.ldexp(one, exponents), norms * up

    def _grid(self, scales: Norms, powers: Norms) -> Grid[Tensor]:
        """On the device of the norms."""
        there, powers_there = (torch.from_numpy(each).to(self.norms.device) for each in (scales, powers))
        return Grid(self.s, there, powers_there, self.tables, self.bucket)


def in_precision(norms: Tensor, x: Tensor, owner: object) -> Tensor:
    """The norms of x in its precision.

    Raises:
        NonFiniteError: if x holds NaN or infinity, which its norms show, or if they are beyond its precision.
    """
    rounded = norms.to(x.dtype)
    if not rounded.isfinite().all():
        what = "the norm of the vector to compress is" if norms.isfinite().all() else "the vector to compress holds"
        rest = "beyond its precision" if norms.isfinite().all() else "NaN or infinity"
        raise NonFiniteError(f"{type(owner).__name__}: {what} {rest}")
    return rounded


def to_symbols(x: Tensor, rule: Rule, key: Key) -> Tensor:
    """(d,) the symbols of x, as int64."""
    if compiles(x):
        symbols = torch.empty(len(x), dtype=torch.int64)
        _pack(x, 0, rule, key, Digits(rule.base, 1), symbols)
        return symbols
    return reference.to_symbols(rule.kind, x, rule.forward, rule.random, halves(key))


def encode(x: Tensor, rule: Rule, key: Key = NO_KEY, coding: Coding = "digits") -> Tensor:
    """The symbols of x (d,), packed."""
    if coding == "entropy":
        return entropy_coding.encode(to_symbols(x, rule, key), rule.base)
    base, count = radix(rule.base), digits_per_word(rule.base)
    words, rest = divmod(len(x), count)
    packed = torch.empty(length(len(x), rule.base), dtype=torch.uint8, device=x.device)
    whole, last = packed[: 8 * words].view(torch.int64), torch.zeros(1, dtype=torch.int64, device=x.device)
    if compiles(x):
        _pack(x, 0, rule, key, Digits(base, count), whole)
        _pack(x, words * count, rule, key, Digits(base, max(rest, 1)), last[: min(rest, 1)])
    else:
        symbols = to_symbols(x, rule, key)
        whole[:] = reference.pack(symbols[: words * count], base, count)
        last[: min(rest, 1)] = reference.pack(symbols[words * count :], base, max(rest, 1))
    packed[8 * words :] = last.view(torch.uint8)[: bytes_of(rest, rule.base)]
    return packed


def decode(packed: Tensor, rule: Rule, out: Tensor, weight: float | None = None, coding: Coding = "digits") -> None:
    """Write the numbers that packed symbols stand for to out (d,), or add them times a weight.

    Raises:
        ValueError: if they are damaged.
    """
    if coding == "digits" and compiles(out):
        base, count = radix(rule.base), digits_per_word(rule.base)
        whole, last = words_of(packed, len(out), rule.base)
        _unpack(whole, 0, rule, Digits(base, count), weight, out)
        _unpack(last, len(whole) * count, rule, Digits(base, max(len(out) % count, 1)), weight, out)
        return
    symbols = symbols_of(packed, len(out), rule.base, coding).to(out.device)
    if compiles(out):
        _unpack(symbols, 0, rule, Digits(rule.base, 1), weight, out)
        return
    values = reference.from_symbols(rule.kind, symbols, rule.back)
    if weight is None:
        out[:] = values
    else:
        out += weight * values


def symbols_of(packed: Tensor, n: int, base: int, coding: Coding = "digits") -> Tensor:
    """(n,) the symbols themselves, as int64.

    Raises:
        ValueError: if they are damaged.
    """
    if coding == "entropy":
        return entropy_coding.decode(packed, n, base)
    count = digits_per_word(base)
    parts = []
    for words, digits in zip(words_of(packed, n, base), (count, max(n % count, 1)), strict=True):
        expect(not (words.numpy().view(np.uint64) > np.uint64(bounds(base, digits).largest)).any())
        parts.append(reference.unpack(words, radix(base), digits))
    symbols = torch.cat(parts)
    expect(not (symbols >= base).any())
    return symbols


def expect(valid: bool | np.bool_ | Tensor) -> None:
    """Raise ValueError unless all symbols of a payload are."""
    if not valid:
        raise ValueError("a payload with symbols that there are not")


def _pack(x: Tensor, origin: int, rule: Rule, key: Key, digits: Digits, words: Tensor) -> None:
    """Fill words (int64) with the symbols of x from an entry on, as these digits."""
    from algorithms.compressors.loops.quantizing import packer

    pack = packer(rule.kind, rule.random)
    pack(x.numpy(), origin, _arrays(rule.forward), halves(key), digits, words.numpy().view(np.uint64))


def _unpack(words: Tensor, origin: int, rule: Rule, digits: Digits, weight: float | None, out: Tensor) -> None:
    """The reverse of `_pack`: write the numbers to out from an entry on, or add them times a weight.

    Raises:
        ValueError: if a digit is no symbol.
    """
    from algorithms.compressors.loops.quantizing import unpacker

    target = out.numpy()
    factor = target.dtype.type(0 if weight is None else weight)
    unpack = unpacker(rule.kind, digits.base & (digits.base - 1) == 0, weight is not None)
    limits = tuple(map(np.uint64, bounds(rule.base, digits.per_word)))
    packed = words.numpy().view(np.uint64), limits
    expect(unpack(packed, origin, _arrays(rule.back), digits, factor, target) == 0)


def _arrays(grid: Grid[Tensor]) -> Grid[Norms]:
    """As compiled loops take it."""
    return Grid(grid.s, grid.scales.numpy(), grid.powers.numpy(), grid.tables.numpy(), grid.bucket)


def words_of(packed: Tensor, n: int, base: int) -> tuple[Tensor, Tensor]:
    """(the words that n symbols fill, the one with the rest if there is any), as int64.

    Raises:
        ValueError: if there is more or less of them.
    """
    if len(packed) != length(n, base):
        raise ValueError(f"{len(packed)} bytes of symbols instead of {length(n, base)}")
    size = 8 * (n // digits_per_word(base))
    last = torch.zeros(8 if len(packed) > size else 0, dtype=torch.uint8)
    last[: len(packed) - size] = packed[size:]
    return _aligned(packed[:size]).view(torch.int64), last.view(torch.int64)


def _aligned(packed: Tensor) -> Tensor:
    """Bytes that begin where a word may."""
    return packed.cpu() if packed.storage_offset() % 8 == 0 and packed.data_ptr() % 8 == 0 else packed.cpu().clone()


def halves(key: Key) -> tuple[Any, Any]:
    """The 64 bits of a key as compiled loops take them."""
    return np.uint32(key.own & 0xFFFFFFFF), np.uint32(key.own >> 32)
