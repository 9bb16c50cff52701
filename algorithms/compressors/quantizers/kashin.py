"""Kashin compression: quantization of an overcomplete representation without large coefficients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.buckets import count_of
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire import frames, scaling, symbols
from algorithms.compressors.wire.scaling import Array
from algorithms.randomness import Key, stream
from algorithms.state import Block

AT_ONCE = 1 << 16  # coefficients that are transformed together: what stays in the second-level cache


@dataclass(frozen=True)
class Kashin(Compressor):
    """C(x) = U Q(a) in each bucket of B entries, where x = U a and Q rounds to multiples of max_i |a_i| / s.

    Safaryan, Shulgin, Richtárik, "Uncertainty Principle for Communication Compression in Distributed and Federated
    Learning and the Search for an Optimal Compressor", 2020, arXiv 2002.08958. The representation: Lyubarskii,
    Vershynin, "Uncertainty Principles and Vector Quantization", IEEE Transactions on Information Theory 2010, arXiv
    math/0611343.

    U (B, D) holds B rows, drawn at random, of the orthonormal Walsh-Hadamard matrix of order D, times random signs. So
    U U^T = I, and D is the least power of two that is at least lambda B. a minimizes no norm but is made of clipped
    frame coefficients: from r = x, as often as said,

        c = U^T r, clipped to [-M, M] with M = |r| / sqrt(D);    a += c;    r -= U c;

    and a += U^T r in the end. (M follows the norm that r has. In the paper it decreases by a constant factor that is
    known to be safe, which leaves larger coefficients.) Where max_i |a_i| is not below that of U^T x, this is taken.
    Q rounds up or down at random such that it is unbiased, and so is C.

    E|C(x) - x|^2 = (B/D) E|Q(a) - a|^2, as the columns of U have norm sqrt(B/D), and E|Q(a) - a|^2 <= D max_i a_i^2 /
    (4 s^2). For U^T x with fresh signs P(D (U^T x)_i^2 > t |x|^2) <= 2 exp(-t/2), hence E max_i (U^T x)_i^2 <=
    (2 ln(2 D) + 2) |x|^2 / D; and always max_i |(U^T x)_i| <= |x|_1 / sqrt(D) <= sqrt(B/D) |x|. Together

        omega = (B/D) min(ln(2 D) + 1, B/2) / (2 s^2),

    which holds for every x; with max_i |a_i| = K |x| / sqrt(D), it is (B/D) K^2 / (4 s^2) where K is known (1.8 for
    lambda = 2 and most vectors). (D/B) B log2(2 s + 1) bits, and 8 itemsize - 1, for each bucket.

    Payload: the 64 bits that U is drawn from, the largest |a_i| of each bucket, then the symbols of all buckets.

    Args:
        expansion: lambda, > 1.
        levels: s, the number of positive levels, >= 1.
        iterations: How often coefficients are clipped, >= 0.
        bucket: B, >= 1; powers of two divided by lambda waste nothing. The last bucket may have less entries, and
            then less coefficients.
    """

    random: ClassVar[bool] = True

    expansion: float = 2.0
    levels: int = 1
    iterations: int = 10
    bucket: int = 1024

    def __post_init__(self) -> None:
        check(positive(self.expansion) and self.expansion > 1, self, "expansion", "> 1 and finite")
        check(1 <= self.levels < 1 << 20, self, "levels", ">= 1 and < 2^20")
        check(self.iterations >= 0, self, "iterations", ">= 0")
        check(self.bucket >= 1, self, "bucket", ">= 1")

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        norms, places = [], []
        for start, buckets, frame in self._parts(len(x), key.own):
            rows = x[start : start + buckets * frame.entries].view(buckets, -1).numpy()
            lifted, exponents = scaling.lift(rows)
            coefficients = self._coefficients(lifted, frame)
            norm = self._norms(np.abs(coefficients).max(axis=1, keepdims=True), exponents, x)
            sent = np.ldexp(norm.double().numpy(), -exponents)
            norms.append(frames.as_bytes(norm[:, 0]))
            places.append(torch.from_numpy(coefficients / np.where(sent > 0, sent, 1)).flatten())
        together = torch.cat(places)
        packed = rounding.encode(together, self._rule(len(together)), key)
        return scaling.decodable(torch.cat([frames.from_word(key.own), *norms, packed]), x, self)

    def decode(self, payload: Tensor, out: Tensor) -> None:
        own, rest = frames.read_word(payload)
        norms, packed = frames.read_values(rest, count_of(len(out), self.bucket), out.dtype)
        norms = frames.finite(norms).cpu().double()
        places = torch.empty(self._total(len(out)), dtype=torch.float64)
        rounding.decode(packed, self._rule(len(places)), places)
        for start, buckets, frame in self._parts(len(out), own):
            here, places = places[: buckets * frame.size], places[buckets * frame.size :]
            norm, norms = norms[:buckets, None], norms[buckets:]
            values = torch.from_numpy(frame.synthesis(here.view(buckets, -1).numpy())) * norm
            out[start : start + values.numel()] = values.flatten()
        frames.finite(out)

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        def of_bucket(entries: int) -> float:
            size = self._size(entries)
            return entries / size * min(math.log(2 * size) + 1, entries / 2) / (2 * self.levels**2)

        return max(of_bucket(entries) for entries, _ in self._buckets(d))

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (8 * itemsize - 1) * count_of(d, self.bucket) + self._total(d) * math.log2(2 * self.levels + 1)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        head = 64 + 8 * itemsize * count_of(d, self.bucket)
        base = 2 * self.levels + 1
        return head + symbols.entropy(rounding.symbols_of(payload[head // 8 :], self._total(d), base), base)

    def _buckets(self, d: int) -> list[tuple[int, int]]:
        """(entries, number) of whole buckets and of what is left."""
        whole, rest = divmod(d, self.bucket)
        return [each for each in ((self.bucket, whole), (rest, 1)) if all(each)]

    def _size(self, entries: int) -> int:
        """D for so many entries."""
        return 1 << (math.ceil(self.expansion * entries) - 1).bit_length()

    def _total(self, d: int) -> int:
        """Coefficients of d entries."""
        return sum(self._size(entries) * number for entries, number in self._buckets(d))

    def _parts(self, d: int, own: int) -> Iterator[tuple[int, int, Frame]]:
        """(first entry, number of buckets, their frame) of what is transformed at once, in order."""
        start = 0
        for entries, number in self._buckets(d):
            frame = Frame.drawn(own, entries, self._size(entries))
            at_once = max(1, AT_ONCE // frame.size)
            for first in range(0, number, at_once):
                buckets = min(at_once, number - first)
                yield start, buckets, frame
                start += buckets * entries

    def _coefficients(self, x: Array, frame: Frame) -> Array:
        """(buckets, D) with x = U a, x (buckets, B)."""
        plain = frame.analysis(x)
        found, rest, coefficients = np.zeros_like(plain), x, plain
        for _ in range(self.iterations):
            most = np.sqrt((rest**2).sum(axis=1, keepdims=True) / frame.size)
            clipped = np.clip(coefficients, -most, most)
            found += clipped
            rest = rest - frame.synthesis(clipped)
            coefficients = frame.analysis(rest)
        found += coefficients
        smaller = np.abs(found).max(axis=1) < np.abs(plain).max(axis=1)
        return np.where(smaller[:, None], found, plain)

    def _norms(self, largest: Array, exponents: Array, x: Tensor) -> Tensor:
        """The largest coefficients in the precision of x, not below them, where they would be rounded with bias."""
        norms = scaling.drop(largest, exponents, x, self)
        below = torch.from_numpy(np.ldexp(norms.double().numpy(), -exponents) < largest)
        above = torch.nextafter(norms, torch.full_like(norms, math.inf))
        return scaling.finite(torch.where(below, above, norms), self)

    def _rule(self, coefficients: int) -> Rule:
        """For coefficients that are divided by the largest of their bucket."""
        return Rule.uniform(self.levels, torch.ones(1, dtype=torch.float64), coefficients)


@dataclass(frozen=True, eq=False)
class Frame:
    """A Parseval frame of D vectors in B dimensions, the columns of U.

    Args:
        size: D, a power of two.
        rows: (B,) rows of the Walsh-Hadamard matrix.
        signs: (B,) what they are multiplied by, 1 or -1, over sqrt(D).
    """

    size: int
    rows: Array
    signs: Array

    @classmethod
    def drawn(cls, key: int, entries: int, size: int) -> Frame:
        """The frame that follows from 64 bits."""
        random = stream(key)
        rows = np.sort(random.choice(size, entries, replace=False, shuffle=False))
        return cls(size, rows, (1.0 - 2.0 * random.integers(0, 2, entries)) * math.sqrt(1 / size))

    @property
    def entries(self) -> int:
        """B."""
        return len(self.rows)

    def analysis(self, x: Array) -> Array:
        """U^T x for each row of x, (k, B) -> (k, D)."""
        spread = np.zeros((len(x), self.size))
        spread[:, self.rows] = x * self.signs
        return _walsh_hadamard(spread)

    def synthesis(self, a: Array) -> Array:
        """U a for each row of a, (k, D) -> (k, B)."""
        return _walsh_hadamard(a)[:, self.rows] * self.signs


def _walsh_hadamard(rows: Array) -> Array:
    """Each row times the Walsh-Hadamard matrix, whose entries are 1 and -1."""
    from algorithms.compressors.loops.quantizing import walsh_hadamard

    transformed = rows.copy()
    walsh_hadamard(transformed)
    return transformed
