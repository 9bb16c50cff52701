"""No compression: every number as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors.linear import LinearCompressor
from algorithms.compressors.wire import frames
from algorithms.numerics.compiled import compiles
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
        if not compiles(out):
            frames.as_bytes(out)[:] = payload
            frames.finite(out)
            return
        from algorithms.numerics.loops import copy_into

        vector = out.numpy()
        bits = np.dtype(f"i{out.itemsize}")
        largest = np.array([copy_into(vector.view(bits), payload.numpy().view(bits))], bits)
        frames.finite(torch.from_numpy(largest.view(vector.dtype)))  # NaN, if it is among them, has the largest bits

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
