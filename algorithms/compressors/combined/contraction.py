"""An unbiased operator as a contraction.

Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning", arXiv 2002.12410.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.randomness import Key


@dataclass(frozen=True)
class Contraction(Compressor):
    """C(x) / (1 + omega) for an unbiased C with E|C(x) - x|^2 <= omega |x|^2.

    E|C(x) / (1 + omega) - x|^2 <= (1 - 1 / (1 + omega)) |x|^2. Bits and payload are those of C.

    Args:
        compressor: C.
    """

    compressor: Compressor

    def __post_init__(self) -> None:
        if self.compressor.biased:
            raise ValueError(f"Contraction: {self.compressor} is biased; give an unbiased operator")

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.compressor.random

    @property
    def on_device(self) -> bool:  # type: ignore[override]
        return self.compressor.on_device

    def encode(self, x: Tensor, key: Key) -> Tensor:
        return self.compressor.encode(x, key)

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self.compressor.decode(payload, out)
        out *= self.alpha(len(out))

    def check_dimension(self, d: int) -> None:
        self.compressor.check_dimension(d)

    def alpha(self, d: int) -> float:
        return 1 / (1 + self.compressor.omega(d))

    def paper_bits(self, d: int, itemsize: int) -> float:
        return self.compressor.paper_bits(d, itemsize)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        return self.compressor.entropy_bits(payload, d, itemsize)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        return self.compressor.payload_bytes(d, itemsize)


def check_contraction(owner: object, compressor: Compressor, d: int) -> None:
    """Raise ValueError unless vectors of d numbers can be compressed, by a contraction."""
    compressor.check_dimension(d)
    if compressor.alpha(d) <= 0:
        advice = "; Contraction(compressor) makes one of it" if not compressor.biased else ""
        raise ValueError(
            f"{type(owner).__name__}: compressor = {compressor} is no contraction of {d} numbers, which this method "
            f"needs{advice}"
        )
