"""Stochastic uniform quantization (QSGD, standard dithering).

Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding",
NeurIPS 2017, arXiv 1610.02132.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from algorithms.checks import NonFiniteError, check
from algorithms.compressors import symbols
from algorithms.compressors.message import Compressor, Vector, stream
from algorithms.compressors.wire import Bytes

NORMS = ("l2", "max")


@dataclass(frozen=True)
class QSGD(Compressor):
    """C(x)_i = |x| sign(x_i) l_i / s, where l_i rounds s |x_i| / |x| up or down at random such that it is unbiased.

    E|C(x) - x|^2 <= omega |x|^2 with omega = min(D/s^2, sqrt(D)/s, D/(4 s^2)) for buckets of D entries and |x| their l2
    norm, D/(4 s^2) with the maximum norm. d log2(2 s + 1) bits, and 8 itemsize - 1 for each bucket.

    Payload: the norm of each bucket, then s + sign(x_i) l_i in base 2 s + 1.

    Args:
        levels: s, the number of positive levels, >= 1.
        norm: "l2", or "max" for the largest magnitude, the more accurate one in practice.
        bucket: Entries that share a norm, >= 1; all of them by default.
    """

    random: ClassVar[bool] = True

    levels: int = 7
    norm: Literal["l2", "max"] = "l2"
    bucket: int | None = None

    def __post_init__(self) -> None:
        check(1 <= self.levels < 1 << 24, self, "levels", ">= 1 and < 2^24")
        check(self.norm in NORMS, self, "norm", f"one of {', '.join(NORMS)}")
        check(self.bucket is None or self.bucket >= 1, self, "bucket", ">= 1")

    def encode(self, x: Vector, key: int) -> Bytes:
        s, rows = self.levels, self._in_buckets(x)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        unit = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)  # whose squares are no overflow
        norms = largest
        if self.norm == "l2":
            lengths = np.sqrt(np.square(unit, dtype=np.float64).sum(axis=1, keepdims=True)).astype(x.dtype)
            norms = largest * lengths
            unit /= np.maximum(lengths, 1)
        if not np.isfinite(norms).all():
            raise NonFiniteError("QSGD: the norm of the vector to compress is beyond its precision")
        draws = stream(key).random(rows.shape, x.dtype.type)
        levels = np.minimum(np.floor(np.abs(unit) * s + draws), s)
        digits = (s + np.copysign(levels, unit)).astype(np.uint64).reshape(-1)[: len(x)]
        return np.concatenate([norms.reshape(-1).view(np.uint8), symbols.encode(digits, self._base)])

    def decode(self, payload: Bytes, out: Vector) -> None:
        size = self._buckets(len(out)) * out.itemsize
        self.check_length(payload, size + symbols.length(len(out), self._base))
        norms = payload[:size].copy().view(out.dtype)
        levels = symbols.decode(payload[size:], len(out), self._base).astype(out.dtype) - self.levels
        scales = np.repeat(norms, self.bucket or len(out))[: len(out)]
        np.multiply(levels / out.dtype.type(self.levels), scales, out)

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        size, s = min(d, self.bucket or d), self.levels
        uniform = size / (4 * s**2)
        return min(uniform, math.sqrt(size) / s) if self.norm == "l2" else uniform

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (8 * itemsize - 1) * self._buckets(d) + d * math.log2(self._base)

    @property
    def _base(self) -> int:
        return 2 * self.levels + 1

    def _buckets(self, d: int) -> int:
        return -(-d // (self.bucket or d))

    def _in_buckets(self, x: Vector) -> Vector:
        """(buckets, entries), the last one filled with zeros."""
        size = self.bucket or len(x)
        padded = np.zeros(self._buckets(len(x)) * size, x.dtype)
        padded[: len(x)] = x
        return padded.reshape(-1, size)
