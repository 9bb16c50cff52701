"""Stochastic uniform quantization (QSGD, standard dithering)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.quantizers.buckets import count_of
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire.symbols import Coding
from algorithms.numerics.norms import l2_norms, largest_magnitudes

NORMS = ("l2", "max")


@dataclass(frozen=True)
class QSGD(Quantizer):
    """C(x)_i = |x| sign(x_i) l_i / s, where l_i rounds s |x_i| / |x| up or down at random such that it is unbiased.

    Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: Communication-Efficient SGD via Gradient Quantization and
    Encoding", NeurIPS 2017, arXiv 1610.02132.

    E|C(x) - x|^2 <= omega |x|^2 with omega = min(D/s^2, sqrt(D)/s, D/(4 s^2)) for buckets of D entries and |x| their l2
    norm; with the maximum norm (sqrt(1 + (D - 1)/s^2) - 1) / 2, which is attained and below the usual D/(4 s^2).
    d log2(2 s + 1) bits, and 8 itemsize - 1 for each bucket.

    Payload: the symbols s + sign(x_i) l_i below 2 s + 1, then the norm of each bucket.

    Args:
        levels: s, the number of positive levels, >= 1.
        norm: "l2", or "max" for the largest magnitude, the more accurate one in practice.
        bucket: Entries that share a norm, >= 1; all of them by default.
        coding: "digits" of a number in base 2 s + 1, or "entropy", shorter where small levels are frequent, and slow.

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> message = QSGD(levels=4, norm="max").compress(torch.tensor([[1.0, -4.0, 0.0, 2.0]]), Draw(0, "example", [0], 0))
    >>> message.dense()  # all are multiples of 4 / levels already
    tensor([[ 1., -4.,  0.,  2.]])
    >>> QSGD(levels=1, norm="max").omega(4) == (4**0.5 - 1) / 2
    True
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    levels: int = 7
    norm: Literal["l2", "max"] = "l2"
    bucket: int | None = None
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        check(1 <= self.levels < 1 << 20, self, "levels", ">= 1 and < 2^20")
        check(self.norm in NORMS, self, "norm", f"one of {', '.join(NORMS)}")
        self.check_bucket()
        self.check_coding()

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return largest_magnitudes(x, bucket) if self.norm == "max" else l2_norms(x, bucket)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.uniform(self.levels, numbers[:, 0], bucket)

    @property
    def alphabet(self) -> int:
        return 2 * self.levels + 1

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        size, s = self.size(d), self.levels
        if self.norm == "max":
            return largest_norm_omega(size, s)
        return min(size / (4 * s**2), math.sqrt(size) / s)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (8 * itemsize - 1) * count_of(d, self.bucket) + d * math.log2(self.alphabet)


def largest_norm_omega(size: int, s: int) -> float:
    """The least omega of s uniform levels up to the largest of so many magnitudes.

    It is attained where all other entries are v = s (sqrt(s^2 + D - 1) - s) / (D - 1) steps: an entry of v steps adds
    v (1 - v), which no later step makes larger, and the sum is compared with s^2 + (D - 1) v^2.
    """
    return (math.sqrt(1 + (size - 1) / s**2) - 1) / 2
