"""Ternary gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from algorithms.checks import check, positive
from algorithms.compressors.quantizers.buckets import count_of, sizes_of, spread
from algorithms.compressors.quantizers.qsgd import largest_norm_omega
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire.symbols import Coding
from algorithms.numerics.norms import l2_norms, largest_magnitudes, sums_of_entries
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class TernGrad(Quantizer):
    """C(x)_i = s sign(x_i) with probability |x_i| / s, else 0; s = |x|_inf in each bucket.

    Wen, Xu, Yan, Wu, Wang, Chen, Li, "TernGrad: Ternary Gradients to Reduce Communication in Distributed Deep
    Learning", NeurIPS 2017, arXiv 1705.07878.

    Unbiased, E|C(x)|^2 = |x|_inf |x|_1, and omega = (sqrt(D) - 1) / 2 for buckets of D entries, which is attained.
    d log2(3) bits, and 8 itemsize - 1 for each bucket.

    With `clip`, entries are limited to plus or minus clip sigma before, where sigma is the standard deviation of the
    bucket about its mean, as in the authors' code. Then it is biased, and no contraction: a bucket of equal entries,
    such as one of a single entry, becomes zero.

    Payload: digits in base 3, 0 for -s, 1 for 0 and 2 for s, then s of each bucket.

    Args:
        clip: Standard deviations that entries are clipped to, > 0 (2.5 in the paper); None for no clipping.
        bucket: Entries that share s, >= 1 (in the paper, those of one layer); all of them by default.
        coding: "digits" of a number, or "entropy", shorter where some symbols are much more frequent, and slow.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    clip: float | None = None
    bucket: int | None = None
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        check_clip(self)
        self.check_bucket()
        self.check_coding()

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        return super().encode(x if self.clip is None else clipped(x, self.clip, self.bucket or len(x)), key)

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return largest_magnitudes(x, bucket)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.uniform(1, numbers[:, 0], bucket)

    @property
    def alphabet(self) -> int:
        return 3

    @property
    def biased(self) -> bool:
        return self.clip is not None

    def omega(self, d: int) -> float:
        return largest_norm_omega(self.size(d), 1) if self.clip is None else math.inf

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (8 * itemsize - 1) * count_of(d, self.bucket) + d * math.log2(3)


def check_clip(owner: Any) -> None:
    """Refuse a field `clip` that is no number of standard deviations."""
    check(owner.clip is None or positive(owner.clip), owner, "clip", "> 0 and finite, or none")


def clipped(x: Tensor, clip: float, bucket: int) -> Tensor:
    """x (d,) with the entries of each bucket limited to plus or minus `clip` standard deviations about their mean."""
    d, sizes = len(x), sizes_of(len(x), bucket).to(x.device)
    apart = x.double() - spread(sums_of_entries(x, bucket) / sizes, d, bucket)
    limits = spread((clip * l2_norms(apart, bucket) / sizes.sqrt()).to(x.dtype), d, bucket)
    return x.clamp(-limits, limits)
