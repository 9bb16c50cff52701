"""An operator on parts of a vector, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.compressors.remembering import memory_of_parts, part_memory
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames
from algorithms.layout import Layout
from algorithms.randomness import Key
from algorithms.state import Block


class Piece(NamedTuple):
    """Consecutive entries, and what compresses them."""

    compressor: Compressor
    d: int


@dataclass(frozen=True)
class Partition(Compressor):
    """What `PerTensor` and `Blocks` share.

    Args:
        compressor: The operator.
    """

    compressor: Compressor

    def pieces(self, d: int) -> list[Piece]:
        """The parts of a vector of d numbers, in order.

        Raises:
            ValueError: if it has none such.
        """
        raise NotImplementedError

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.compressor.random

    @property
    def on_device(self) -> bool:  # type: ignore[override]
        return self.compressor.on_device

    @property
    def biased(self) -> bool:
        return self.compressor.biased

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        pieces = self.pieces(layout.d)
        return memory_of_parts([each.compressor.start(Layout.vector(each.d), k, dtype=dtype) for each in pieces])

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        pieces = self.pieces(len(x))
        parts = x.split([piece.d for piece in pieces])
        work = enumerate(zip(pieces, parts, strict=True))
        payloads = [piece.compressor.encoded(part, key.part(i), part_memory(memory, i)) for i, (piece, part) in work]
        return frames.join(payloads, _lengths(pieces, x.itemsize))

    def decode(self, payload: Tensor, out: Tensor) -> None:
        for piece, packed, part in self._parts(payload, out):
            piece.compressor.decode(packed, part)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        for piece, packed, part in self._parts(payload, out):
            piece.compressor.accumulate(packed, weight, part)

    def _parts(self, payload: Tensor, out: Tensor) -> Iterator[tuple[Piece, Tensor, Tensor]]:
        pieces = self.pieces(len(out))
        payloads = frames.split_payload(payload, _lengths(pieces, out.itemsize))
        return zip(pieces, payloads, out.split([piece.d for piece in pieces]), strict=True)

    def check_dimension(self, d: int) -> None:
        for piece in self._kinds(d):
            piece.compressor.check_dimension(piece.d)

    def omega(self, d: int) -> float:
        return max(piece.compressor.omega(piece.d) for piece in self._kinds(d))

    def alpha(self, d: int) -> float:
        return min(piece.compressor.alpha(piece.d) for piece in self._kinds(d))

    def b1(self, d: int) -> B1 | None:
        known = [piece.compressor.b1(piece.d) for piece in self._kinds(d)]
        each = [constants for constants in known if constants]
        return B1(min(b.alpha for b in each), max(b.beta for b in each)) if len(each) == len(known) else None

    def b2(self, d: int) -> B2 | None:
        known = [piece.compressor.b2(piece.d) for piece in self._kinds(d)]
        each = [constants for constants in known if constants]
        return B2(min(b.gamma for b in each), max(b.beta for b in each)) if len(each) == len(known) else None

    def paper_bits(self, d: int, itemsize: int) -> float:
        return sum(piece.compressor.paper_bits(piece.d, itemsize) for piece in self.pieces(d))

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        pieces = self.pieces(d)
        payloads = frames.split_payload(payload, _lengths(pieces, itemsize))
        parts = zip(pieces, payloads, strict=True)
        return sum(piece.compressor.entropy_bits(packed, piece.d, itemsize) for piece, packed in parts)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        total = 0
        for length in _lengths(self.pieces(d), itemsize):
            if length is None:
                return None
            total += length
        return total

    def _kinds(self, d: int) -> set[Piece]:
        return set(self.pieces(d))


def _lengths(pieces: list[Piece], itemsize: int) -> list[int | None]:
    return [piece.compressor.payload_bytes(piece.d, itemsize) for piece in pieces]
