"""Random sparsification.

Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.compressors.indices import Indices
from algorithms.compressors.message import Vector, stream
from algorithms.compressors.sparse import Sparsifier
from algorithms.compressors.wire import Bytes


@dataclass(frozen=True)
class RandomK(Sparsifier):
    """Keeps k entries drawn uniformly, without replacement; times d/k if unbiased.

    Unbiased: E|C(x) - x|^2 = (d/k - 1) |x|^2. As it is: E|C(x) - x|^2 = (1 - k/d) |x|^2, a contraction in expectation.
    8 itemsize k bits: the indices are not sent but drawn again from the 64 bits that they were drawn from, which are.

    Payload: these 64 bits, then the kept numbers in the order of their indices.

    Args:
        fraction: See `TopK`.
        k: See `TopK`.
        unbiased: Whether kept entries are scaled by d/k.
    """

    random: ClassVar[bool] = True

    unbiased: bool = False

    def encode(self, x: Vector, key: int) -> Bytes:
        kept = self._drawn(key, len(x))
        return np.concatenate([np.array([key], np.uint64).view(np.uint8), x[kept].view(np.uint8)])

    def decode(self, payload: Bytes, out: Vector) -> None:
        d, k = len(out), self.kept(len(out))
        self.check_length(payload, 8 + k * out.itemsize)
        out[:] = 0
        kept = self._drawn(int(payload[:8].copy().view(np.uint64)[0]), d)
        out[kept] = payload[8:].copy().view(out.dtype) * out.dtype.type(d / k if self.unbiased else 1)

    @property
    def biased(self) -> bool:
        return not self.unbiased

    def omega(self, d: int) -> float:
        return d / self.kept(d) - 1 if self.unbiased else super().omega(d)

    def alpha(self, d: int) -> float:
        return super().alpha(d) if self.unbiased else self.kept(d) / d

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize * self.kept(d)

    def _drawn(self, key: int, d: int) -> Indices:
        return np.sort(stream(key).choice(d, self.kept(d), replace=False, shuffle=False))
