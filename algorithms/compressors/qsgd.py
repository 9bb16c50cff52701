"""Stochastic uniform quantization (QSGD, standard dithering).

Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding",
NeurIPS 2017, arXiv 1610.02132.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors import quantize, symbols, wire
from algorithms.compressors.buckets import count_of, read_norms
from algorithms.compressors.entropy_coding import check_coding
from algorithms.compressors.message import Compressor
from algorithms.compressors.quantize import Rule
from algorithms.compressors.symbols import Coding
from algorithms.randomness import Key

NORMS = ("l2", "max")


@dataclass(frozen=True)
class QSGD(Compressor):
    """C(x)_i = |x| sign(x_i) l_i / s, where l_i rounds s |x_i| / |x| up or down at random such that it is unbiased.

    E|C(x) - x|^2 <= omega |x|^2 with omega = min(D/s^2, sqrt(D)/s, D/(4 s^2)) for buckets of D entries and |x| their l2
    norm, D/(4 s^2) with the maximum norm. d log2(2 s + 1) bits, and 8 itemsize - 1 for each bucket.

    Payload: the norm of each bucket, then the symbols s + sign(x_i) l_i below 2 s + 1.

    Args:
        levels: s, the number of positive levels, >= 1.
        norm: "l2", or "max" for the largest magnitude, the more accurate one in practice.
        bucket: Entries that share a norm, >= 1; all of them by default.
        coding: "digits" of a number in base 2 s + 1, or "entropy", shorter where small levels are frequent, and slow.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    levels: int = 7
    norm: Literal["l2", "max"] = "l2"
    bucket: int | None = None
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        check(1 <= self.levels < 1 << 20, self, "levels", ">= 1 and < 2^20")
        check(self.norm in NORMS, self, "norm", f"one of {', '.join(NORMS)}")
        check(self.bucket is None or self.bucket >= 1, self, "bucket", ">= 1")
        check_coding(self, self._base)

    def encode(self, x: Tensor, key: Key) -> Tensor:
        bucket = self.bucket or len(x)
        norms = quantize.largest(x, bucket) if self.norm == "max" else quantize.lengths(x, bucket)
        norms = quantize.in_precision(norms, x, self)
        rule = Rule.uniform(self.levels, norms, bucket)
        return torch.cat([wire.as_bytes(norms), quantize.encode(x, rule, key, self.coding)])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        bucket = self.bucket or len(out)
        norms, packed = read_norms(payload, out, bucket)
        quantize.decode(packed, Rule.uniform(self.levels, norms, bucket), out, weight, self.coding)

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        size, s = min(d, self.bucket or d), self.levels
        uniform = size / (4 * s**2)
        return min(uniform, math.sqrt(size) / s) if self.norm == "l2" else uniform

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (8 * itemsize - 1) * count_of(d, self.bucket) + d * math.log2(self._base)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        norms = 8 * itemsize * count_of(d, self.bucket)
        packed = payload[norms // 8 :]
        return norms + symbols.entropy(quantize.symbols_of(packed, d, self._base, self.coding), self._base)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        if self.coding == "entropy":
            return None
        return itemsize * count_of(d, self.bucket) + symbols.length(d, self._base)

    @property
    def _base(self) -> int:
        return 2 * self.levels + 1
