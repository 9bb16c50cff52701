"""No compression: every number as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors.message import Bytes, Compressor, Message
from algorithms.randomness import Draw


@dataclass(frozen=True)
class DenseMessage(Message):
    """All d numbers of each row, little-endian, in the stack's own precision."""

    values: Tensor  # (k, d)

    @property
    def bits(self) -> Tensor:
        k, d = self.values.shape
        return torch.full((k,), 8 * d * self.values.itemsize)

    def dense(self) -> Tensor:
        return self.values

    def payload(self, row: int) -> Bytes:
        return self.values[row].numpy().view(np.uint8)

    def decode(self, payloads: Sequence[Bytes]) -> Tensor:
        self.check_sizes(payloads)
        rows = np.stack([payload.view(self.values.numpy().dtype) for payload in payloads])
        return torch.from_numpy(rows)


@dataclass(frozen=True)
class Identity(Compressor):
    """C(x) = x. Contraction 1; 8 d itemsize bits."""

    def compress(self, x: Tensor, draw: Draw) -> DenseMessage:
        return DenseMessage(x.contiguous())
