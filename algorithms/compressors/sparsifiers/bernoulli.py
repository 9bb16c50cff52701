"""Lazy communication: the vector now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames
from algorithms.randomness import Key, stream
from algorithms.state import Block


@dataclass(frozen=True)
class Bernoulli(Compressor):
    """C(x) = x / p with probability p, else 0.

    Known as the lazy or Bernoulli compressor, as in the code of Gorbunov, Burlachenko, Li, Richtárik, "MARINA:
    Faster Non-Convex Distributed Learning with Compression", ICML 2021, arXiv 2102.07845.

    Unbiased, E|C(x) - x|^2 = (1/p - 1) |x|^2. 1 + 8 itemsize d p bits on average.

    Payload: a byte, 0 or 1, and if that is 1 the d numbers.

    Args:
        p: The probability that a vector is sent, in (0, 1].
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True

    p: float = 0.5

    def __post_init__(self) -> None:
        check(0 < self.p <= 1, self, "p", "in (0, 1]")

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        self.check_finite(x * (1 / self.p))
        sent = stream(key.own).random() < self.p
        flag = torch.tensor([sent], dtype=torch.uint8, device=x.device)
        return torch.cat([flag, frames.as_bytes(x)]) if sent else flag

    def decode(self, payload: Tensor, out: Tensor) -> None:
        sent, rest = frames.read_number(payload, 2)
        self.check_length(rest, out.nbytes if sent else 0)
        out[:] = frames.finite(frames.from_bytes(rest, out.dtype).to(out.device) * (1 / self.p)) if sent else 0

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        return 1 / self.p - 1

    def b1(self, d: int) -> B1:
        return B1(1 / self.p, 1 / self.p)

    def b2(self, d: int) -> B2:
        return B2(1, 1 / self.p)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 1 + 8 * itemsize * d * self.p

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        return 1 + 8 * (len(payload) - 1)
