"""Two levels at the conditional means (BinGrad-b)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.buckets import count_of, sizes_of, spread
from algorithms.compressors.quantizers.one_bit import means_of_sides
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.theory import B1, B2
from algorithms.numerics.norms import sums_of_entries
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class BinGradB(Quantizer):
    """C(x)_i = the mean of the bucket's entries on the side of x_i: those >= or those < the mean of all.

    Xu, Huo, Huang, "Optimal Gradient Quantization Condition for Communication-Efficient Distributed Training",
    arXiv 2002.11082.

    The optimal threshold is half way between the two levels; this is the paper's cheap choice, and `OneBit` the one
    with threshold 0.

    |C(x) - x|^2 = |x|^2 - |C(x)|^2, a contraction with alpha = |C(x)|^2 / |x|^2 >= D / (2 floor(D/2) ceil(D/2)) in
    buckets of D entries, about 2/D, and 1 for D = 1; biased. This is because |C(x)|^2 = D m^2 + T^2 D / (n+ n-) and
    |x|^2 <= D m^2 + 2 T^2, where m is the mean, T the sum of the deviations from it on either side, and n+ and n- are
    the numbers of entries there; it is attained in the limit of one large deviation on each side. The same for the
    other classes, since <C(x), x> = |C(x)|^2. d bits, and 16 itemsize for each bucket.

    Payload: the sides, 1 for the lower one, then both levels of each bucket, the upper one first (the mean of all for a
    side without entries).

    Args:
        bucket: Entries that share the levels, >= 1; None for all of them.
    """

    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    bucket: int | None = 2048

    def __post_init__(self) -> None:
        self.check_bucket()

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        bucket = self.bucket or len(x)
        means = sums_of_entries(x, bucket) / sizes_of(len(x), bucket).to(x.device)
        apart = x.double() - spread(means, len(x), bucket)
        levels = rounding.in_precision(means[:, None] + means_of_sides(apart, bucket), x, self)
        return self.joined(levels, rounding.encode(apart, Rule.signs(means, bucket)))

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.between(numbers, bucket, random=False)

    @property
    def each(self) -> int:
        return 2

    @property
    def alphabet(self) -> int:
        return 2

    def alpha(self, d: int) -> float:
        size = self.size(d)
        return size / (2 * (size // 2) * (size - size // 2)) if size > 1 else 1.0

    def b1(self, d: int) -> B1:
        return B1(self.alpha(d), 1)

    def b2(self, d: int) -> B2:
        return B2(self.alpha(d), 1)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + 16 * itemsize * count_of(d, self.bucket)
