"""Natural dithering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from algorithms.compressors.quantizers.exponential_dithering import ExponentialDithering, check_dithering
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire.symbols import Coding


@dataclass(frozen=True)
class NaturalDithering(Quantizer):
    """C(x)_i = |x|_p sign(x_i) l_i, l_i one of 0, 2^(1-s), ..., 1/2, 1: one of the two next to |x_i| / |x|_p, at random
    such that it is unbiased. This is exponential dithering with base 2.

    Horváth, Ho, Horváth, Sahu, Canini, Richtárik, "Natural Compression for Distributed Deep Learning", MSML 2022,
    arXiv 1905.10988.

    Its law is that of natural compression after standard dithering (QSGD) with 2^(s-1) levels.
    omega = 1/8 + q min(1, q), q = D^(1/r) 2^(1-s), r = min(p, 2) for buckets of D entries. d log2(2 s + 1) bits, and
    8 itemsize - 1 for each bucket.

    Payload: the symbols below 2 s + 1, s for zero, then |x|_p of each bucket.

    Args:
        levels: s, the number of positive levels, >= 1 and <= 101.
        norm: "l2", "max", or p >= 1.
        bucket: Entries that share a norm, >= 1; all of them by default.
        coding: "digits" of a number, or "entropy", shorter where some symbols are much more frequent, and slow.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    levels: int = 7
    norm: float | Literal["l2", "max"] = "l2"
    bucket: int | None = None
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        check_dithering(self, 2)
        self.check_coding()

    @property
    def dithering(self) -> ExponentialDithering:
        """The same operator among those of any base."""
        return ExponentialDithering(2.0, self.levels, self.norm, self.bucket)

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return self.dithering.numbers(x, bucket)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return self.dithering.rule(numbers, bucket)

    @property
    def alphabet(self) -> int:
        return self.dithering.alphabet

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        return self.dithering.omega(d)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return self.dithering.paper_bits(d, itemsize)
