"""Scaled signs.

Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML 2019,
arXiv 1901.09847.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors import quantize, symbols, wire
from algorithms.compressors.buckets import count_of, read_norms, sizes_of
from algorithms.compressors.message import Compressor
from algorithms.compressors.quantize import Rule
from algorithms.randomness import Key


@dataclass(frozen=True)
class ScaledSign(Compressor):
    """C(x) = (|x|_1 / D) sign(x) in each bucket of D entries, with sign(0) = 1.

    |C(x) - x|^2 = |x|^2 - |x|_1^2 / D, a contraction with alpha = |x|_1^2 / (D |x|^2) >= 1/D; biased. d bits, and
    8 itemsize for each bucket.

    Payload: the scale of each bucket, then the signs, 1 where negative (`algorithms.compressors.symbols`).

    Args:
        bucket: Entries that share a scale, >= 1; all of them by default.
    """

    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    bucket: int | None = None

    def __post_init__(self) -> None:
        check(self.bucket is None or self.bucket >= 1, self, "bucket", ">= 1")

    def encode(self, x: Tensor, key: Key) -> Tensor:
        bucket = self.bucket or len(x)
        means = quantize.sums(x, bucket) / sizes_of(len(x), bucket).to(x.device)
        scales = quantize.in_precision(means, x, self)
        return torch.cat([wire.as_bytes(scales), quantize.encode(x, Rule.signs(scales, bucket))])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        bucket = self.bucket or len(out)
        scales, signs = read_norms(payload, out, bucket)
        quantize.decode(signs, Rule.signs(scales, bucket), out, weight)

    def alpha(self, d: int) -> float:
        return 1 / min(d, self.bucket or d)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + 8 * itemsize * count_of(d, self.bucket)

    def payload_bytes(self, d: int, itemsize: int) -> int:
        return itemsize * count_of(d, self.bucket) + symbols.length(d, 2)
