"""Globally-randomized blockwise sparsification (GRBS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.linear import LinearCompressor, entries_of, vectors_of
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw, Key, stream
from algorithms.state import Block


@dataclass(frozen=True)
class RandomBlock(Sparsifier, LinearCompressor):
    """Keeps m of B blocks of consecutive entries, drawn uniformly without replacement, the same ones at all nodes.

    Xie, Zheng, Koyejo, Gupta, Li, Lin, "CSER: Communication-efficient SGD with Error Reset", NeurIPS 2020, arXiv
    2007.13221.

    E|C(x) - x|^2 = (1 - m/B) |x|^2 with m = max(1, floor(B / ratio)), so alpha = 1/ratio where that divides B; biased.
    The operators of all nodes in one round are one linear operator: it commutes with averaging. 8 itemsize d / ratio
    bits: the blocks are not sent but drawn again from the 64 common bits that they were drawn from, which are. The
    authors' code draws a slice of each tensor instead, or none; `PerTensor` makes blocks of each tensor here.

    Payload: these 64 bits, then the kept numbers in the order of their indices.

    Args:
        ratio: Blocks for each one that is kept, >= 1.
        blocks: B, >= 1, or d if that is less. Their sizes differ by one at most.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True

    ratio: float = 16.0
    blocks: int = 256

    def __post_init__(self) -> None:
        check(1 <= self.ratio < float("inf"), self, "ratio", ">= 1")
        check(self.blocks >= 1, self, "blocks", ">= 1")

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        return self._drawn(key.common, len(x)).to(x.device), frames.from_word(key.common)

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        common, rest = frames.read_word(payload)
        return self._drawn(common, d), rest

    def project(self, x: Tensor, draw: Draw, memory: Block | None = None) -> Tensor:
        """(k, number of kept entries) the kept entries of each row."""
        return entries_of(self.working_rows(x), self._drawn(draw.common, x.shape[1]), 1.0)

    def reconstruct(self, p: Tensor, draw: Draw, memory: Block | None = None, *, d: int) -> Tensor:
        return vectors_of(p, self._drawn(draw.common, d), d)

    def kept(self, d: int) -> float:
        return d * self._share(d)

    def sizes(self, d: int) -> range:
        blocks, drawn = self._counts(d)
        longer = d % blocks  # blocks of one entry more
        fewest = drawn * (d // blocks) + max(0, drawn - (blocks - longer))
        return range(fewest, drawn * (d // blocks) + min(drawn, longer) + 1)

    def alpha(self, d: int) -> float:
        return self._share(d)

    def b1(self, d: int) -> B1:
        return B1(self._share(d), 1)

    def b2(self, d: int) -> B2:
        return B2(self._share(d), 1)

    def index_bytes(self, d: int) -> int:
        return frames.number_bytes(1 << 64)

    def _counts(self, d: int) -> tuple[int, int]:
        """(B, m)."""
        blocks = min(self.blocks, d)
        return blocks, max(1, int(blocks / self.ratio))

    def _share(self, d: int) -> float:
        blocks, drawn = self._counts(d)
        return drawn / blocks

    def _drawn(self, common: int, d: int) -> Tensor:
        blocks, drawn = self._counts(d)
        chosen = np.sort(stream(common).choice(blocks, drawn, replace=False, shuffle=False))
        bounds = zip(chosen * d // blocks, (chosen + 1) * d // blocks, strict=True)
        return torch.from_numpy(np.concatenate([np.arange(first, end) for first, end in bounds]))
