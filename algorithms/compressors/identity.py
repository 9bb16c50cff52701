"""No compression: every number as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.compressors.linear import LinearCompressor
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw, Key
from algorithms.state import Block


@dataclass(frozen=True)
class Identity(LinearCompressor):
    """C(x) = x: nothing is lost, alpha = 1, omega = 0; linear. 8 d itemsize bits.

    Payload: the d numbers, in single or double precision.
    """

    on_device: ClassVar[bool] = True

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        return frames.as_bytes(x)

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self.check_length(payload, out.nbytes)
        frames.as_bytes(out)[:] = payload

    def project(self, x: Tensor, draw: Draw, memory: Block | None = None) -> Tensor:
        """The rows as they are, (k, d)."""
        return self.working_rows(x)

    def reconstruct(self, p: Tensor, draw: Draw, memory: Block | None = None, *, d: int) -> Tensor:
        return p

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        return 0.0

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize * d

    def payload_bytes(self, d: int, itemsize: int) -> int:
        return itemsize * d
