"""Numbers as symbols of a few bits, and back: what quantizers share.

On the CPU the loops are compiled (`kernels`), elsewhere they are torch operations (`reference`), with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors import entropy_coding
from algorithms.compressors.symbols import LEVELS, SIGN, UNIFORM, Coding, bytes_of, digits_per_word, length, radix
from algorithms.randomness import Key

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
        most = 126 if levels.dtype == torch.float32 else 1022
        exponents = (torch.frexp(levels.abs().amax(dim=1)).exponent.long() - 1).clamp(-most, most)
        down, norms = power_of_two(-exponents, levels.dtype), power_of_two(exponents, levels.dtype)
        return cls.levels(levels * down[:, None], norms, bucket, random)

    @property
    def s(self) -> int:
        """Positive levels."""
        return (self.base - 1) // 2

    def forward(self) -> tuple[Tensor, Tensor]:
        """(scales, lift): x times both has its place among the levels. `lift` are powers of two."""
        up, _, lifted = self._lifted()
        steps = float(self.s if self.kind == UNIFORM else 1)
        return torch.where(lifted > 0, steps / lifted, 0), up

    def back(self) -> tuple[Tensor, Tensor]:
        """(scales, drop): a level times both is the number it stands for."""
        if self.kind == SIGN:
            return self.norms, self.norms
        _, down, lifted = self._lifted()
        return lifted / float(self.s if self.kind == UNIFORM else 1), down

    def _lifted(self) -> tuple[Tensor, Tensor, Tensor]:
        """Powers of two, their inverses, and the norms times the powers, which are far from the ends of the range."""
        exponents = torch.frexp(self.norms).exponent.long().clamp(-FARTHEST, FARTHEST)
        up, down = power_of_two(-exponents, self.norms.dtype), power_of_two(exponents, self.norms.dtype)
        return up, down, self.norms * up


def largest(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the largest magnitude in each bucket of x (d,)."""
    from algorithms.compressors import kernels, reference

    if not x.is_cpu:
        return reference.largest_of(x, bucket)
    out = torch.empty(-(-len(x) // bucket), dtype=x.dtype)
    bits = np.int64 if x.dtype == torch.float64 else np.int32
    kernels.largest_of(x.numpy().view(bits), bucket, out.numpy().view(bits))
    return out


def sums(x: Tensor, bucket: int, squared: bool = False) -> Tensor:
    """(buckets,) the sum of the magnitudes in each bucket of x (d,), or of their squares, in double precision."""
    from algorithms.compressors import kernels, reference

    if not x.is_cpu:
        return reference.sums_of(x, squared, bucket)
    out = torch.empty(-(-len(x) // bucket), dtype=torch.float64)
    kernels.sums_of(x.numpy(), squared, bucket, out.numpy())
    return out


def signed_sums(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the sum of the entries in each bucket of x (d,), in double precision."""
    return sums(x.clamp(min=0), bucket) - sums(x.clamp(max=0), bucket)


def lengths(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the l2 norm of each bucket of x (d,), in double precision."""
    # Squares of doubles may overflow or vanish, those of single precision cannot.
    largest_entry = largest(x, len(x)) if x.dtype == torch.float64 else None
    if largest_entry is None or 1e-140 < float(largest_entry) < 1e140:
        return sums(x, bucket, squared=True).sqrt()
    exponent = torch.frexp(largest_entry).exponent.long()
    up, down = (power_of_two(each.clamp(-1000, 1000), x.dtype) for each in (-exponent, exponent))
    return sums(x * up, bucket, squared=True).sqrt() * down


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


def to_symbols(x: Tensor, rule: Rule, key: Key, first: int = 0) -> Tensor:
    """(d - first,) the symbols of x from an entry on, as int64."""
    from algorithms.compressors import kernels, reference

    scales, lift = rule.forward()
    how = rule.bucket, rule.random, *halves(key)
    if not x.is_cpu:
        return reference.to_symbols(rule.kind, x, rule.s, scales, lift, rule.tables, *how)[first:]
    out = np.empty(len(x) - first, np.float32)
    kernels.to_symbols(rule.kind, x.numpy(), first, rule.s, *_arrays(scales, lift, rule.tables), *how, out)
    return torch.from_numpy(out.astype(np.int64))


def encode(x: Tensor, rule: Rule, key: Key = NO_KEY, coding: Coding = "digits") -> Tensor:
    """The symbols of x (d,), packed."""
    if coding == "entropy":
        return entropy_coding.encode(to_symbols(x, rule, key), rule.base)
    from algorithms.compressors import kernels, reference

    base, count = radix(rule.base), digits_per_word(rule.base)
    words = len(x) // count
    packed = torch.empty(length(len(x), rule.base), dtype=torch.uint8, device=x.device)
    whole = packed[: 8 * words].view(torch.int64)
    if x.is_cpu:
        scales, lift = rule.forward()
        numbers = [*_arrays(scales, lift, rule.tables), rule.bucket, rule.random, *halves(key)]
        kernels.pack(rule.kind, x.numpy(), rule.s, *numbers, base, count, whole.numpy().view(np.uint64))
        rest = to_symbols(x, rule, key, words * count)
    else:
        symbols = to_symbols(x, rule, key)
        whole[:] = reference.pack(symbols[: words * count], base, count)
        rest = symbols[words * count :]
    packed[8 * words :] = number_of(rest.tolist(), base, rule.base).to(x.device)
    return packed


def decode(packed: Tensor, rule: Rule, out: Tensor, weight: float | None = None, coding: Coding = "digits") -> None:
    """Write the numbers that packed symbols stand for to out (d,), or add them times a weight.

    Raises:
        ValueError: if they are damaged.
    """
    from algorithms.compressors import kernels, reference

    if coding == "entropy":
        _write(entropy_coding.decode(packed, len(out), rule.base).to(out.device), 0, rule, out, weight)
        return
    base, count = radix(rule.base), digits_per_word(rule.base)
    if len(packed) != length(len(out), rule.base):
        raise ValueError(f"{len(packed)} bytes of symbols instead of {length(len(out), rule.base)}")
    words = len(out) // count
    whole = packed[: 8 * words]
    if out.is_cpu:
        scales, drop, tables = _arrays(*rule.back(), rule.tables)
        kernels.unpack(
            rule.kind,
            _words(whole),
            rule.s,
            scales,
            drop,
            tables,
            rule.bucket,
            base,
            count,
            weight is not None,
            out.numpy().dtype.type(weight or 0),
            out.numpy(),
        )
        _write(digits_of(packed[8 * words :], len(out) - words * count, base), words * count, rule, out, weight)
    else:
        digits = reference.unpack(whole.clone().view(torch.int64), base, count)
        rest = digits_of(packed[8 * words :].cpu(), len(out) - words * count, base).to(out.device)
        _write(torch.cat([digits, rest]), 0, rule, out, weight)


def symbols_of(packed: Tensor, n: int, base: int, coding: Coding = "digits") -> Tensor:
    """(n,) the symbols themselves, as int64."""
    if coding == "entropy":
        return entropy_coding.decode(packed, n, base)
    from algorithms.compressors import reference

    word_base, count = radix(base), digits_per_word(base)
    words = n // count
    digits = reference.unpack(packed[: 8 * words].clone().view(torch.int64), word_base, count)
    return torch.cat([digits, digits_of(packed[8 * words :], n - words * count, word_base)])


def _write(symbols: Tensor, first: int, rule: Rule, out: Tensor, weight: float | None) -> None:
    """Write the numbers of symbols from an entry on, or add them times a weight."""
    from algorithms.compressors import kernels, reference

    scales, drop = rule.back()
    if out.is_cpu:
        array = out.numpy()
        scale, down, tables = _arrays(scales, drop, rule.tables)
        kernels.from_symbols(
            rule.kind,
            symbols.numpy().astype(np.float32),
            first,
            rule.s,
            scale,
            down,
            tables,
            rule.bucket,
            weight is not None,
            array.dtype.type(weight or 0),
            array,
        )
        return
    values = reference.from_symbols(rule.kind, symbols, rule.s, scales, drop, rule.tables, rule.bucket)
    if weight is None:
        out[:] = values
    else:
        out += weight * values


def number_of(digits: Sequence[int], base: int, symbols: int) -> Tensor:
    """Digits, the lowest first, as the bytes of one number."""
    number = sum(digit * base**j for j, digit in enumerate(digits))
    size = bytes_of(len(digits), symbols)
    return torch.frombuffer(bytearray(number.to_bytes(size, "little")), dtype=torch.uint8) if size else torch.empty(0)


def digits_of(packed: Tensor, n: int, base: int) -> Tensor:
    number = int.from_bytes(packed.numpy().tobytes(), "little")
    digits = []
    for _ in range(n):
        number, digit = divmod(number, base)
        digits.append(digit)
    return torch.tensor(digits, dtype=torch.int64)


def halves(key: Key) -> tuple[Any, Any]:
    return np.uint32(key.own & 0xFFFFFFFF), np.uint32(key.own >> 32)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors]


def _words(packed: Tensor) -> np.ndarray:
    """As 64-bit words, wherever in memory the bytes begin."""
    return packed.numpy().view(np.uint64)


def power_of_two(exponents: Tensor, dtype: torch.dtype) -> Tensor:
    """2^exponent, exact, for exponents of normal numbers."""
    if dtype == torch.float32:
        return (exponents + 127 << 23).to(torch.int32).view(torch.float32)
    return (exponents + 1023 << 52).view(torch.float64)
