"""No compression: every number as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algorithms.compressors.message import Compressor, Vector
from algorithms.compressors.wire import Bytes


@dataclass(frozen=True)
class Identity(Compressor):
    """C(x) = x. Contraction 1; 8 d itemsize bits.

    Payload: the d numbers, in single or double precision.
    """

    def encode(self, x: Vector, key: int) -> Bytes:
        return x.view(np.uint8)

    def decode(self, payload: Bytes, out: Vector) -> None:
        self.check_length(payload, out.nbytes)
        out.view(np.uint8)[:] = payload

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        return 0.0

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize * d
