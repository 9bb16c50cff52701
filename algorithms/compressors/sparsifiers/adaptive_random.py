"""Adaptive random sparsification."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames
from algorithms.randomness import Key, stream
from algorithms.state import Block


@dataclass(frozen=True)
class AdaptiveRandom(Sparsifier):
    """C(x) = x_i e_i for one entry i, drawn with probability |x_i| / |x|_1.

    Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning", JMLR 2023, arXiv
    2002.12410.

    E|C(x)|^2 = <E C(x), x> = |x|_3^3 / |x|_1, so a contraction in expectation with alpha = 1/d; biased. By the paper's
    count 8 itemsize + log2 d bits.

    Payload: the index, log2 d bits rounded up to whole bytes, then the number.
    """

    random: ClassVar[bool] = True

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        # With the largest magnitude 1, neither does the sum overflow, nor do denormal numbers lose digits.
        magnitudes = np.abs(x.numpy()).astype(np.float64)
        ends = np.cumsum(magnitudes / (magnitudes.max() or 1))
        # Entry i has [ends[i-1], ends[i]), which is empty for a zero; a vector of zeros has nothing, so any will do.
        drawn = int(np.searchsorted(ends, stream(key.own).random() * ends[-1], side="right")) if ends[-1] else 0
        return torch.tensor([drawn]), frames.from_number(drawn, len(x))

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        drawn, rest = frames.read_number(payload, d)
        return torch.tensor([drawn]), rest

    def kept(self, d: int) -> int:
        return 1

    def alpha(self, d: int) -> float:
        return 1 / d

    def b1(self, d: int) -> B1:
        return B1(1 / d, 1)

    def b2(self, d: int) -> B2:
        return B2(1 / d, 1)

    def index_bits(self, d: int, k: float) -> float:
        return math.log2(d)

    def index_bytes(self, d: int) -> int:
        return frames.number_bytes(d)
