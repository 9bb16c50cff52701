"""Scaled signs.

Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML 2019,
arXiv 1901.09847.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algorithms.compressors.message import Compressor, Vector
from algorithms.compressors.wire import Bytes


@dataclass(frozen=True)
class ScaledSign(Compressor):
    """C(x) = (|x|_1 / d) sign(x), with sign(0) = 1.

    |C(x) - x|^2 = |x|^2 - |x|_1^2 / d, a contraction with alpha = |x|_1^2 / (d |x|^2) >= 1/d; biased. d + 8 itemsize
    bits.

    Payload: the scale, then the signs, one bit each, 1 where negative.
    """

    def encode(self, x: Vector, key: int) -> Bytes:
        scale = np.abs(x).mean(dtype=np.float64).astype(x.dtype)
        return np.concatenate([scale[None].view(np.uint8), np.packbits(x < 0)])

    def decode(self, payload: Bytes, out: Vector) -> None:
        self.check_length(payload, out.itemsize + -(-len(out) // 8))
        scale = payload[: out.itemsize].copy().view(out.dtype)[0]
        negative = np.unpackbits(payload[out.itemsize :], count=len(out))
        np.multiply(1 - 2 * negative.astype(np.int8), scale, out, dtype=out.dtype)

    def alpha(self, d: int) -> float:
        return 1 / d

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + 8 * itemsize
