"""The b-bit quantizer with the maximum norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.quantizers.qsgd import QSGD
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire.symbols import Coding


@dataclass(frozen=True)
class InfinityNorm(Quantizer):
    """C(x)_i = Delta sign(x_i) floor(|x_i| / Delta + u_i), Delta = |x|_inf / 2^(b-1), u_i uniform in [0, 1).

    Liu, Li, Wang, Tang, Yan, "Linear Convergent Decentralized Optimization with Compression", ICLR 2021, arXiv
    2007.00232.

    This is QSGD with s = 2^(b-1) levels and the maximum norm in each bucket of D entries. Unbiased, with omega =
    (sqrt(1 + (D - 1)/4^(b-1)) - 1) / 2, which is attained; the papers' D/4^b is larger.

    It has 2^b + 1 symbols, one more than b bits tell apart: d log2(2^b + 1) bits, 2.32 an entry for b = 2, and
    8 itemsize - 1 for each bucket.

    Payload: the symbols below 2^b + 1, then the largest magnitude of each bucket.

    Args:
        bits: b, >= 1 and <= 20.
        bucket: Entries that share a norm, >= 1; None for all of them.
        coding: "digits" of a number in base 2^b + 1, or "entropy", shorter where small levels are frequent, and slow.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    bits: int = 2
    bucket: int | None = 512
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        check(1 <= self.bits <= 20, self, "bits", ">= 1 and <= 20")
        self.check_bucket()
        self.check_coding()

    @property
    def qsgd(self) -> QSGD:
        """The same operator under its other name."""
        return QSGD(1 << (self.bits - 1), "max", self.bucket, self.coding)

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return self.qsgd.numbers(x, bucket)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return self.qsgd.rule(numbers, bucket)

    @property
    def alphabet(self) -> int:
        return (1 << self.bits) + 1

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        return self.qsgd.omega(d)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return self.qsgd.paper_bits(d, itemsize)
