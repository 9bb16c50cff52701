"""An unbiased operator from a biased one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.compressors.remembering import memory_of_parts, part_memory
from algorithms.compressors.theory import check_contraction
from algorithms.compressors.wire import frames
from algorithms.layout import Layout
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class Induced(Compressor):
    """C(x) = C1(x) + C2(x - C1(x)) for a contraction C1 and an unbiased C2.

    Horváth, Richtárik, "A Better Alternative to Error Feedback for Communication-Efficient Distributed Learning",
    ICLR 2021, arXiv 2006.11077.

    Unbiased, omega = omega_2 (1 - alpha_1). C2 gets the difference to what C1(x) is decoded to. Bits are those of both.

    Payload: that of C1, behind its length where that varies, then that of C2.

    Args:
        contraction: C1.
        unbiased: C2.
    """

    contraction: Compressor
    unbiased: Compressor

    def __post_init__(self) -> None:
        if self.unbiased.biased:
            raise ValueError(f"Induced: unbiased = {self.unbiased} is biased; give an unbiased operator")

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.contraction.random or self.unbiased.random

    @property
    def on_device(self) -> bool:  # type: ignore[override]
        return self.contraction.on_device and self.unbiased.on_device

    @property
    def biased(self) -> bool:
        return False

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        return memory_of_parts([each.start(layout, k, dtype=dtype) for each in (self.contraction, self.unbiased)])

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        first = self.contraction.encoded(x, key.part(0), part_memory(memory, 0))
        decoded = torch.empty_like(x)
        self.contraction.decode(first.cpu(), decoded)
        rest = x - decoded
        self.check_finite(rest)
        second = self.unbiased.encoded(rest, key.part(1), part_memory(memory, 1))
        return frames.join([first.to(x.device), second.to(x.device)], self._lengths(len(x), x.itemsize))

    def decode(self, payload: Tensor, out: Tensor) -> None:
        first, second = frames.split_payload(payload, self._lengths(len(out), out.itemsize))
        self.contraction.decode(first, out)
        self.unbiased.accumulate(second, 1.0, out)
        frames.finite(out)

    def check_dimension(self, d: int) -> None:
        check_contraction(self, self.contraction, d)
        self.unbiased.check_dimension(d)

    def omega(self, d: int) -> float:
        alpha = self.contraction.alpha(d)
        return self.unbiased.omega(d) * (1 - alpha) if alpha else math.inf

    def paper_bits(self, d: int, itemsize: int) -> float:
        return self.contraction.paper_bits(d, itemsize) + self.unbiased.paper_bits(d, itemsize)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        first, second = frames.split_payload(payload, self._lengths(d, itemsize))
        bits = self.contraction.entropy_bits(first, d, itemsize)
        return bits + self.unbiased.entropy_bits(second, d, itemsize)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        first, second = self._lengths(d, itemsize)
        return None if first is None or second is None else first + second

    def _lengths(self, d: int, itemsize: int) -> list[int | None]:
        return [each.payload_bytes(d, itemsize) for each in (self.contraction, self.unbiased)]
