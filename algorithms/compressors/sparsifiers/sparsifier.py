"""What sparsifiers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.wire import frames
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class Sparsifier(Compressor):
    """Keeps some entries of a vector, times `scale`.

    Payload: where they are, as `select` says it, then the kept numbers in the order of their indices.
    """

    largest: ClassVar[bool] = False
    """Whether these are those of largest magnitude, always as many."""

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        """(ascending indices of the entries to keep, bytes that tell them)."""
        raise NotImplementedError

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        """(the indices that a payload begins with, the bytes that follow).

        Raises:
            ValueError: if it does not begin with such indices.
        """
        raise NotImplementedError

    def scale(self, payload: Tensor, d: int) -> float:
        """What the receiver multiplies the entries with that a payload tells; 1 for a biased operator."""
        return 1.0

    def kept(self, d: int) -> float:
        """Number of entries kept of d, on average where it varies."""
        raise NotImplementedError

    def sizes(self, d: int) -> range:
        """The numbers of entries that may be kept of d."""
        k = int(self.kept(d))
        return range(k, k + 1)

    def index_bits(self, d: int, k: float) -> float:
        """Bits that tell which k of d entries are kept, by the paper's formula."""
        return 0.0

    def index_bytes(self, d: int) -> int | None:
        """Bytes that tell which entries are kept; None if that varies."""
        return None

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        kept, section = self.select(x, key, memory)
        values = x.index_select(0, kept)
        scale = self.scale(section, len(x))
        if scale > 1:
            self.check_finite(values * scale)
        return torch.cat([section.to(x.device), frames.as_bytes(values)])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        kept, values = self._read(payload, out)
        out.zero_()
        out.index_copy_(0, kept, values)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        kept, values = self._read(payload, out)
        out.index_add_(0, kept, weight * values)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize * self.kept(d) + self.index_bits(d, self.kept(d))

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        k = len(self.read(payload, d)[0])
        return 8 * itemsize * k + self.index_bits(d, k)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        index, sizes = self.index_bytes(d), self.sizes(d)
        return None if index is None or len(sizes) > 1 else index + sizes[0] * itemsize

    def _read(self, payload: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        kept, rest = self.read(payload, len(out))
        self.check_length(rest, len(kept) * out.itemsize)
        values = frames.from_bytes(rest, out.dtype).to(out.device)
        scale = self.scale(payload, len(out))
        return kept.to(out.device), frames.finite(values if scale == 1 else values * scale)


@dataclass(frozen=True)
class KeepsFixedNumber(Compressor):
    """What keeps k of the d entries.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
    """

    fraction: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.k is None):
            raise ValueError(f"{type(self).__name__}: give exactly one of fraction (in (0, 1]) and k (>= 1)")
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
        super().check_dimension(d)


@dataclass(frozen=True)
class FixedSparsifier(KeepsFixedNumber, Sparsifier):
    """Keeps k of the d entries.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
    """
