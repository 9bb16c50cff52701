"""Exponential dithering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.quantizers.buckets import count_of, spread
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire.symbols import Coding
from algorithms.numerics.norms import l2_norms, largest_magnitudes, sums_of_magnitudes

SMALLEST = -100  # log2 of the levels that are not zero: all products with norms are normal numbers


@dataclass(frozen=True)
class ExponentialDithering(Quantizer):
    """C(x)_i = |x|_p sign(x_i) l_i, l_i one of 0, b^(1-s), ..., 1/b, 1: one of the two next to |x_i| / |x|_p, at
    random such that it is unbiased.

    Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning", JMLR 2023, arXiv
    2002.12410.

    omega = (b + 1/b + 2) / 4 - 1 + q min(1, q), where q = D^(1/r) b^(1-s) and r = min(p, 2) for buckets of D entries:
    the last term is for entries below the smallest level, and small with s above 1 + log_b(D^(1/r)).
    d log2(2 s + 1) bits, and 8 itemsize - 1 for each bucket.

    Payload: the symbols below 2 s + 1, s for zero, then |x|_p of each bucket.

    Args:
        base: b, > 1.
        levels: s, the number of positive levels, >= 1 and such that b^(1-s) >= 2^-100.
        norm: "l2", "max", or p >= 1.
        bucket: Entries that share a norm, >= 1; all of them by default.
        coding: "digits" of a number, or "entropy", shorter where some symbols are much more frequent, and slow.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    base: float = 2.0
    levels: int = 7
    norm: float | Literal["l2", "max"] = "l2"
    bucket: int | None = None
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        check(1 < self.base < math.inf, self, "base", "> 1 and finite")
        check_dithering(self, self.base)
        self.check_coding()

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return norms_of(x, self.norm, bucket)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        table = torch.from_numpy(levels_of(self.base, self.levels)).to(numbers)
        return Rule.levels(table[None], numbers[:, 0], bucket, random=True)

    @property
    def alphabet(self) -> int:
        return 2 * self.levels + 1

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        r = 2 if isinstance(self.norm, str) else min(self.norm, 2)
        q = self.size(d) ** (1 / r) * self.base ** (1 - self.levels)
        return rounding_omega(self.base) + q * min(1, q)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (8 * itemsize - 1) * count_of(d, self.bucket) + d * math.log2(self.alphabet)


def check_dithering(owner: Any, base: float) -> None:
    """Refuse fields `levels`, `norm` and `bucket` that do not suit exponential dithering in this base."""
    most = math.floor(1 - SMALLEST / math.log2(base))
    check(1 <= owner.levels <= most, owner, "levels", f">= 1 and <= {most} in base {base:g}")
    known = owner.norm in ("l2", "max") if isinstance(owner.norm, str) else 1 <= owner.norm < math.inf
    check(known, owner, "norm", "l2, max, or a finite number >= 1")
    owner.check_bucket()


def levels_of(base: float, s: int) -> np.ndarray:
    """(2 s + 1,) float64: -1, ..., -base^(1-s), 0, base^(1-s), ..., 1."""
    positive = np.array([base**-k for k in range(s)])
    return np.concatenate([-positive, [0.0], positive[::-1]])


def rounding_omega(base: float) -> float:
    """The variance of rounding a number at random to the powers of a base next to it, by the square of the number."""
    return (base + 1 / base + 2) / 4 - 1


def norms_of(x: Tensor, norm: float | Literal["l2", "max"], bucket: int) -> Tensor:
    """(buckets,) the norms of each bucket of x (d,): "l2", "max" or the number p."""
    if norm == "l2" or norm == 2:
        return l2_norms(x, bucket)
    largest = largest_magnitudes(x, bucket)
    if norm == "max":
        return largest
    shares = x.abs().double() / spread(torch.where(largest > 0, largest, 1).double(), len(x), bucket)
    # By NumPy, since torch's powers differ in their last bits with the number of threads.
    powers = torch.from_numpy(np.power(shares.cpu().numpy(), float(norm))).to(x.device)
    sums = torch.from_numpy(np.power(sums_of_magnitudes(powers, bucket).cpu().numpy(), 1 / float(norm))).to(x.device)
    return largest.double() * sums
