"""Rounding to the powers of a base, at random or to the nearest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import NonFiniteError, check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.exponential_dithering import SMALLEST, levels_of, rounding_omega
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames, symbols
from algorithms.randomness import Key
from algorithms.state import Block

LEAST, MOST = 1.01, 65536.0  # of bases


@dataclass(frozen=True)
class GeneralRounding(Compressor):
    """C(x)_i = sign(x_i) b^k, one of the two next to |x_i|, at random without bias or the nearest; C(x)_i = 0 for 0.

    Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning", JMLR 2023, arXiv
    2002.12410.

    Unbiased: omega = (b + 1/b + 2) / 4 - 1, attained at |x_i| = 2 b^(k+1) / (b + 1). `NaturalCompression` does the
    same for b = 2, faster. To the nearest (half way between two, the lower one): biased, a contraction with alpha =
    4 b / (b + 1)^2, which is attained half way; the other classes' constants are (2 / (b + 1))^2 and 2 b / (b + 1), and
    2 / (b + 1) and 2 b / (b + 1). No randomness is needed.

    Levels are those from the least power of b above all entries down to the last that an entry needs, but none below
    2^-100 times the first. Entries beyond the last one, b^m, are rounded to 0 or b^m in the same way, which adds less
    than d (b 2^-100)^2 / 4 to the constants: nothing in any precision, as b <= 65536.

    Payload: the first level in the precision of the vector, their number s as a variable-length number, and symbols
    below 2 s + 1, s for zero. In the paper's way, sign and exponent of a number with 8 (11) bits for exponents of 2:
    d (1 + log2(256 / log2(b))) bits in single precision, with 2048 in double.

    Args:
        base: b, >= 1.01 and <= 65536.
        biased: Whether to round to the nearest.

    Raises:
        NonFiniteError: for entries beyond the largest power of b in the precision of the vector.
    """

    base: float = 2.0
    biased: bool = False

    def __post_init__(self) -> None:
        check(LEAST <= self.base <= MOST, self, "base", f">= {LEAST} and <= {MOST:g}")

    @property
    def random(self) -> bool:  # type: ignore[override]
        return not self.biased

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        magnitudes = x.abs()
        top = self._above(float(magnitudes.max()), x.dtype)
        if top.isinf():
            beyond = f"the vector to compress holds a number beyond the largest power of {self.base:g}"
            raise NonFiniteError(f"{type(self).__name__}: {beyond}")
        least = float(torch.where(magnitudes > 0, magnitudes, math.inf).min())
        most = math.floor(1 - SMALLEST / math.log2(self.base))
        positive = levels_of(self.base, most)[most + 1 :]
        s = min(most, 1 + int((positive > least / float(top)).sum())) if top > 0 else 1
        packed = rounding.encode(x, self._rule(s, top, len(x)), key)
        return torch.cat([frames.as_bytes(top), frames.varints([s]), packed])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        top, s, packed = self._read(payload, out)
        rounding.decode(packed, self._rule(s, top, len(out)), out, weight)

    def _read(self, payload: Tensor, out: Tensor) -> tuple[Tensor, int, Tensor]:
        """(the first level, how many there are, the packed symbols)."""
        top, rest = frames.read_values(payload, 1, out.dtype)
        (s,), packed = frames.read_varints(rest, 1)
        if not 1 <= s <= 1 - SMALLEST / math.log2(self.base):
            raise ValueError(f"a payload with {s} levels")
        return frames.finite(top).to(out.device), s, packed

    def _rule(self, s: int, top: Tensor, d: int) -> Rule:
        table = torch.from_numpy(levels_of(self.base, s)).to(top)
        return Rule.levels(table[None], top, d, random=self.random)

    def _above(self, largest: float, dtype: torch.dtype) -> Tensor:
        """(1,) the least power of the base that is not below, as a number of this type; 0 for 0."""
        if largest == 0:
            return torch.zeros(1, dtype=dtype)
        exponent = math.ceil(math.log(largest) / math.log(self.base)) - 1
        while True:
            power = torch.tensor([_power(self.base, exponent)], dtype=dtype)
            if power >= largest:
                return power
            exponent += 1

    def omega(self, d: int) -> float:
        return math.inf if self.biased else rounding_omega(self.base)

    def alpha(self, d: int) -> float:
        return 1 / (1 + rounding_omega(self.base)) if self.biased else max(0.0, 1 - self.omega(d))

    def b1(self, d: int) -> B1 | None:
        b = self.base
        return B1((2 / (b + 1)) ** 2, 2 * b / (b + 1)) if self.biased else super().b1(d)

    def b2(self, d: int) -> B2 | None:
        b = self.base
        return B2(2 / (b + 1), 2 * b / (b + 1)) if self.biased else super().b2(d)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d * (1 + math.log2((256 if itemsize == 4 else 2048) / math.log2(self.base)))

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        out = torch.empty(d, dtype=torch.float32 if itemsize == 4 else torch.float64)
        _, s, packed = self._read(payload, out)
        head = 8 * (len(payload) - len(packed))
        return head + symbols.entropy(rounding.symbols_of(packed, d, 2 * s + 1), 2 * s + 1)


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf
