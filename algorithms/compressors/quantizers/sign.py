"""Scaled signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.compressors.quantizers.buckets import count_of, sizes_of
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.numerics.norms import sums_of_magnitudes


@dataclass(frozen=True)
class ScaledSign(Quantizer):
    """C(x) = (|x|_1 / D) sign(x) in each bucket of D entries, with sign(0) = 1.

    Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML
    2019, arXiv 1901.09847.

    |C(x) - x|^2 = |x|^2 - |x|_1^2 / D, a contraction with alpha = |x|_1^2 / (D |x|^2) >= 1/D; biased. d bits, and
    8 itemsize for each bucket.

    Payload: the signs, 1 where negative (`algorithms.compressors.wire.symbols`), then the scale of each bucket.

    Args:
        bucket: Entries that share a scale, >= 1; all of them by default.

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> ScaledSign().compress(torch.tensor([[1.0, -5.0, 2.0, 0.0]]), Draw(0, "example", [0], 0)).dense()
    tensor([[ 2., -2.,  2.,  2.]])
    """

    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    bucket: int | None = None

    def __post_init__(self) -> None:
        self.check_bucket()

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return sums_of_magnitudes(x, bucket) / sizes_of(len(x), bucket).to(x.device)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.signs(numbers[:, 0], bucket)

    @property
    def alphabet(self) -> int:
        return 2

    def alpha(self, d: int) -> float:
        return 1 / self.size(d)

    def alpha_of_largest(self, k: int, d: int) -> float:
        """min(1/D, k/d) for the largest bucket of D of the k entries; attained. It is more than alpha(k) k/d.

        |C(T)|^2 = sum_b |T_b|_1^2 / D_b over the buckets. With t the least magnitude that is kept, the others have at
        most (d - k) t^2 of |x|^2, of which (d/k - 1) D_b t^2 are set against each bucket. The root of |T_b|^2 + (d/k -
        1) D_b t^2 over |T_b|_1 is convex in the ordered magnitudes of the bucket, a cone whose rays are those with j
        equal ones and zeros: so it is largest at one of them, where D_b times its square is D_b / j, or d/k for j =
        D_b. A single entry has the one, equal entries have the other.
        """
        return min(1 / self.size(k), k / d)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + 8 * itemsize * count_of(d, self.bucket)
