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

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + 8 * itemsize * count_of(d, self.bucket)
