"""Optimal levels for unbiased rounding (ORQ)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.quantizers.buckets import count_of, solve_rows
from algorithms.compressors.quantizers.qsgd import largest_norm_omega
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.quantizers.tern_grad import check_clip, clipped
from algorithms.compressors.wire.symbols import Coding
from algorithms.randomness import Key
from algorithms.state import Block

MOST = 257  # levels


@dataclass(frozen=True)
class ORQ(Quantizer):
    """C(x)_i = one of the two levels next to x_i, at random such that it is unbiased.

    Xu, Huo, Huang, "Optimal Gradient Quantization Condition for Communication-Efficient Distributed Training",
    arXiv 2002.11082.

    The levels b_0 < ... < b_{s-1} of a bucket are its least and its largest entry and, in between, what halving finds:
    the best level b between two known ones l < u, which is such that

        #{v in [b, u]} = sum_{v in [l, u]} (v - l) / (u - l)

    to one entry, then the best ones on either side of it, and so on. Fewer different levels where entries are equal.

    E|C(x) - x|^2 = sum (b_{k+1} - v) (v - b_k). With the first level alone this is at most |x|_inf |x|_1 - |x|^2, as
    with a level at 0 (TernGrad), and further ones only help: omega <= (sqrt(D) - 1) / 2 for buckets of D entries.
    d log2(s) bits, and 8 s itemsize for each bucket.

    With `clip`, entries are limited before as in `TernGrad`. Then it is biased, and no contraction.

    Payload: the symbols below s, then the levels of each bucket, ascending.

    Args:
        levels: s = 3, 5, 9, ..., 2^K + 1, at most 257.
        bucket: Entries that share levels, >= 1; None for all of them. Their ends decide the error: not too many.
        clip: Standard deviations that entries are clipped to, > 0; None for no clipping.
        coding: "digits" of a number, or "entropy", shorter where some symbols are much more frequent, and slow.
    """

    random: ClassVar[bool] = True

    levels: int = 5
    bucket: int | None = 2048
    clip: float | None = None
    coding: Coding = "digits"

    def __post_init__(self) -> None:
        halved = self.levels - 1
        check(
            3 <= self.levels <= MOST and halved & (halved - 1) == 0, self, "levels", f"3, 5, 9, ..., 2^K + 1, <= {MOST}"
        )
        self.check_bucket()
        self.check_coding()
        check_clip(self)

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        return super().encode(x if self.clip is None else clipped(x, self.clip, self.bucket or len(x)), key)

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return solve_rows(x, bucket, partial(optimal_levels, count=self.levels))

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.between(numbers, bucket, random=True)

    @property
    def each(self) -> int:
        return self.levels

    @property
    def alphabet(self) -> int:
        return self.levels

    @property
    def biased(self) -> bool:
        return self.clip is not None

    def omega(self, d: int) -> float:
        return largest_norm_omega(self.size(d), 1) if self.clip is None else math.inf

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize * self.levels * count_of(d, self.bucket) + d * math.log2(self.levels)


def optimal_levels(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(rows, count) the levels of each row of entries, which are some of these."""
    ordered, n = np.sort(rows, axis=1), rows.shape[1]
    before = np.pad(np.cumsum(ordered, axis=1), ((0, 0), (1, 0)))
    places = np.zeros((len(rows), count), np.int64)
    places[:, -1] = n - 1
    step = count - 1
    while step > 1:
        first, last = places[:, :-1:step], places[:, step::step]
        low, high = (np.take_along_axis(ordered, each, axis=1) for each in (first, last))
        total = np.take_along_axis(before, last + 1, axis=1) - np.take_along_axis(before, first, axis=1)
        apart = total - (last - first + 1) * low
        above = apart / np.where(high > low, high - low, 1)
        middle = last + 1 - np.ceil(above).astype(np.int64)
        places[:, step // 2 :: step] = np.clip(middle, first, last)
        step //= 2
    return np.take_along_axis(ordered, places, axis=1)
