"""Top-k sparsification.

Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import NonFiniteError, check
from algorithms.compressors.message import Bytes, Compressor, Message
from algorithms.randomness import Draw


@dataclass(frozen=True)
class SparseMessage(Message):
    """Indices and values of the kept entries of each row.

    Payload: the k values, little-endian, in the stack's own precision, then their indices, ascending, packed
    to ceil(log2 d) bits each, lowest bit first, filling bytes from their highest bit.
    """

    indices: Tensor  # (rows, k) int64, ascending in each row
    values: Tensor  # (rows, k)
    d: int

    @property
    def index_bits(self) -> int:
        """Width of an index on the wire: ceil(log2 d)."""
        return (self.d - 1).bit_length()

    @property
    def bits(self) -> Tensor:
        rows, k = self.values.shape
        return torch.full((rows,), k * (8 * self.values.itemsize + self.index_bits))

    def dense(self) -> Tensor:
        return self._scatter(self.indices, self.values)

    def payload(self, row: int) -> Bytes:
        values = self.values[row].numpy().view(np.uint8)
        places = np.arange(self.index_bits)
        digits = (self.indices[row].numpy()[:, None] >> places) & 1
        return np.concatenate([values, np.packbits(digits.astype(np.uint8))])

    def decode(self, payloads: Sequence[Bytes]) -> Tensor:
        self.check_sizes(payloads)
        k = self.values.shape[1]
        value_bytes = k * self.values.itemsize
        packed = np.stack(payloads)
        values = packed[:, :value_bytes].copy().view(self.values.numpy().dtype)
        digits = np.unpackbits(packed[:, value_bytes:], axis=1, count=k * self.index_bits)
        digits = digits.reshape(len(payloads), k, self.index_bits).astype(np.int64)
        indices = (digits << np.arange(self.index_bits)).sum(axis=2)
        if (indices >= self.d).any():
            raise ValueError(f"{type(self).__name__}: index {indices.max()} in a vector of {self.d} entries")
        return self._scatter(torch.from_numpy(indices), torch.from_numpy(values))

    def _scatter(self, indices: Tensor, values: Tensor) -> Tensor:
        return values.new_zeros(len(values), self.d).scatter_(1, indices, values)


@dataclass(frozen=True)
class TopK(Compressor):
    """Keeps the k entries of largest magnitude; of equal ones those of smallest index.

    Contraction |C(x) - x|^2 <= (1 - k/d) |x|^2; biased. k (8 itemsize + ceil(log2 d)) bits.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
    """

    fraction: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.k is None):
            raise ValueError("TopK: give exactly one of fraction (in (0, 1]) and k (>= 1)")
        check(self.fraction is None or 0 < self.fraction <= 1, self, "fraction", "in (0, 1]")
        check(self.k is None or self.k >= 1, self, "k", ">= 1")

    def kept(self, d: int) -> int:
        """Number of entries kept of d.

        Raises:
            ValueError: if a fixed k is larger than d.
        """
        if self.fraction is not None:
            return max(1, int(self.fraction * d))
        assert self.k is not None
        check(self.k <= d, self, "k", f"at most d = {d}, the number of parameters")
        return self.k

    def check_dimension(self, d: int) -> None:
        self.kept(d)

    def compress(self, x: Tensor, draw: Draw) -> SparseMessage:
        rows, d = x.shape
        k = self.kept(d)
        magnitude = x.abs()
        if not bool(magnitude.isfinite().all()):
            raise NonFiniteError("TopK: the vector to compress holds NaN or infinity")
        threshold = magnitude.topk(k, dim=1).values[:, -1:]
        above = magnitude > threshold
        ties = magnitude == threshold
        keep = above | (ties & (ties.cumsum(1) <= k - above.sum(1, keepdim=True)))
        indices = keep.nonzero()[:, 1].reshape(rows, k)
        return SparseMessage(indices, x.gather(1, indices), d)
