"""Random sparsification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors.linear import LinearCompressor, entries_of, vectors_of
from algorithms.compressors.sparsifiers.sparsifier import FixedSparsifier
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw, Key, stream
from algorithms.state import Block


@dataclass(frozen=True)
class RandomK(FixedSparsifier, LinearCompressor):
    """C(x)_i = c x_i for k entries i drawn uniformly, without replacement, else 0; c = d/k if unbiased, else 1.

    Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599.

    Unbiased: E|C(x) - x|^2 = (d/k - 1) |x|^2. As it is: E|C(x) - x|^2 = (1 - k/d) |x|^2, a contraction in expectation.
    8 itemsize k bits: the indices are not sent but drawn again from the 64 bits that they were drawn from, which are.

    Payload: these 64 bits, then the kept numbers in the order of their indices.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
        unbiased: Whether kept entries are scaled by d/k.
        common: Whether all nodes keep the same entries in a round. Then the operators of all nodes are one linear
            operator, whose k numbers a network can average (`project`, `mean`).

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    >>> found = RandomK(k=2, unbiased=True, common=True).compress(x, Draw(0, "example", [0, 1], 0)).dense()
    >>> bool(((found == 2 * x) | (found == 0)).all()), (found != 0).sum(dim=1).tolist()
    (True, [2, 2])
    >>> bool(((found[0] == 0) == (found[1] == 0)).all())
    True
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True

    unbiased: bool = False
    common: bool = False

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        word = key.common if self.common else key.own
        return self._drawn(word, len(x)).to(x.device), frames.from_word(word)

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        own, rest = frames.read_word(payload)
        return self._drawn(own, d), rest

    def scale(self, payload: Tensor, d: int) -> float:
        return self._factor(d)

    @property
    def linear(self) -> bool:
        return self.common

    def project(self, x: Tensor, draw: Draw, memory: Block | None = None) -> Tensor:
        """(k, number of kept entries) the kept entries of each row, scaled."""
        if not self.common:
            raise ValueError(
                "RandomK: with common = False each node keeps other entries, so what they keep has no average; "
                "use common = True"
            )
        d = x.shape[1]
        return entries_of(self.working_rows(x), self._drawn(draw.common, d), self._factor(d))

    def reconstruct(self, p: Tensor, draw: Draw, memory: Block | None = None, *, d: int) -> Tensor:
        return vectors_of(p, self._drawn(draw.common, d), d)

    def index_bytes(self, d: int) -> int:
        return frames.number_bytes(1 << 64)

    @property
    def biased(self) -> bool:
        return not self.unbiased

    def omega(self, d: int) -> float:
        return d / self.kept(d) - 1 if self.unbiased else super().omega(d)

    def alpha(self, d: int) -> float:
        return super().alpha(d) if self.unbiased else self.kept(d) / d

    def b1(self, d: int) -> B1:
        share = self.kept(d) / d
        return B1(1 / share, 1 / share) if self.unbiased else B1(share, 1)

    def b2(self, d: int) -> B2:
        share = self.kept(d) / d
        return B2(1, 1 / share) if self.unbiased else B2(share, 1)

    def _factor(self, d: int) -> float:
        return d / self.kept(d) if self.unbiased else 1.0

    def _drawn(self, key: int, d: int) -> Tensor:
        return torch.from_numpy(np.sort(stream(key).choice(d, self.kept(d), replace=False, shuffle=False)))
