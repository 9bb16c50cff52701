"""Block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from algorithms.checks import check
from algorithms.compressors.combined.partition import Partition, Piece
from algorithms.layout import Layout


@dataclass(frozen=True)
class Blocks(Partition):
    """An operator on each block of consecutive entries by itself.

    Zheng, Huang, Kwok, "Communication-Efficient Distributed Blockwise Momentum SGD with Error-Feedback", NeurIPS
    2019, arXiv 1905.10936.

    Its alpha is the lesser one of a whole block and the last one, its omega the larger one; bits are the sum. Draws are
    independent. Quantizers with a `bucket` do the same in one pass.

    Payload: those of the blocks in order, behind their lengths where these vary; the last one is the rest.

    Args:
        compressor: The operator.
        size: Entries of a block, >= 1; the last one may have less.
    """

    size: int = 1024

    def __post_init__(self) -> None:
        check(self.size >= 1, self, "size", ">= 1")

    def for_layout(self, layout: Layout) -> Self:
        return self  # a block is no tensor

    def pieces(self, d: int) -> list[Piece]:
        whole, rest = divmod(d, self.size)
        return [Piece(self.compressor, self.size)] * whole + [Piece(self.compressor, rest)] * (rest > 0)
