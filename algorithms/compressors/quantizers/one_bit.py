"""Signs with the mean of each side (1-bit SGD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.buckets import count_of, sizes_of
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.theory import B1, B2
from algorithms.numerics.norms import sums_of_magnitudes
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class OneBit(Quantizer):
    """C(x)_i = the mean of the entries >= 0 of the bucket if x_i >= 0, else the mean of those < 0.

    Seide, Fu, Droppo, Li, Yu, "1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed
    Training of Speech DNNs", Interspeech 2014.

    |C(x) - x|^2 = |x|^2 - |C(x)|^2, the least of all operators with these two sides. A contraction with alpha =
    |C(x)|^2 / |x|^2 >= 1/D in buckets of D entries, with equality for a single spike; biased. The same for the other
    classes, since <C(x), x> = |C(x)|^2. d bits, and 16 itemsize for each bucket.

    Payload: the signs, 1 where negative, then both means of each bucket, that of the entries >= 0 first (zero if it has
    none). The method is made for error feedback; in the paper buckets are the columns of a matrix.

    Args:
        bucket: Entries that share the means, >= 1; all of them by default.
    """

    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    bucket: int | None = None

    def __post_init__(self) -> None:
        self.check_bucket()

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        bucket = self.bucket or len(x)
        means = rounding.in_precision(means_of_sides(x, bucket), x, self)
        return self.joined(means, rounding.encode(x, Rule.signs(means[:, 0], bucket)))

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.between(numbers, bucket, random=False)

    @property
    def each(self) -> int:
        return 2

    @property
    def alphabet(self) -> int:
        return 2

    def alpha(self, d: int) -> float:
        return 1 / self.size(d)

    def alpha_of_largest(self, k: int, d: int) -> float:
        """That of `ScaledSign`: |C(T)|^2 is not less than there, with one mean for both sides, and no more for one."""
        return min(1 / self.size(k), k / d)

    def b1(self, d: int) -> B1:
        return B1(self.alpha(d), 1)

    def b2(self, d: int) -> B2:
        return B2(self.alpha(d), 1)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + 16 * itemsize * count_of(d, self.bucket)


def means_of_sides(x: Tensor, bucket: int) -> Tensor:
    """(buckets, 2) the means of the entries >= 0 and < 0 of each bucket of x (d,), in double precision; 0 of none."""
    below = sums_of_magnitudes((x < 0).to(x.dtype), bucket)
    above = sizes_of(len(x), bucket).to(x.device) - below
    upper = sums_of_magnitudes(x.clamp(min=0), bucket) / above.clamp(min=1)
    lower = sums_of_magnitudes(x.clamp(max=0), bucket) / below.clamp(min=1)
    return torch.stack([upper, -lower], dim=1)
