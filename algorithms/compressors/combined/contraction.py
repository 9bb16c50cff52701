"""An unbiased operator as a contraction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.layout import Layout
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class Contraction(Compressor):
    """C(x) / (1 + omega) for an unbiased C with E|C(x) - x|^2 <= omega |x|^2.

    Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning", arXiv 2002.12410.

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

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        return self.compressor.start(layout, k, dtype=dtype)

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        return self.compressor.encoded(x, key, memory)

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
