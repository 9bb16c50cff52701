"""Two levels, biased beyond them only (BinGrad-pb)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.quantizers.buckets import count_of, solve_rows
from algorithms.compressors.quantizers.quantizer import Quantizer
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.theory import B1, B2


@dataclass(frozen=True)
class BinGradPB(Quantizer):
    """C(x)_i = b or -b: at random such that E C(x)_i = x_i where |x_i| <= b, else b sign(x_i).

    Xu, Huo, Huang, "Optimal Gradient Quantization Condition for Communication-Efficient Distributed Training",
    arXiv 2002.11082.

    b is optimal for the bucket: b = E[|v| 1{|v| > b}] over its entries v or, where no b solves this because many are
    equal, the magnitude at which the right side falls below the left.

    E|C(x) - x|^2 = |x|^2 - D b^2 - 2 sum_{|v| <= b} v^2 in a bucket of D entries where b solves this (else entries
    equal to b count on both sides in part), so it is a contraction with alpha >= 1/D, with equality for a single spike;
    biased. Further |C(x)|^2 = D b^2 >= D / (D^2 + D - 1) |x|^2 and <E C(x), x> = D b^2 + sum_{|v| <= b} v^2 >=
    |x|^2 / D. d bits, and 8 itemsize - 1 for each bucket.

    Payload: a bit for each entry, 1 for b, then b of each bucket.

    Args:
        bucket: Entries that share b, >= 1; None for all of them.
    """

    random: ClassVar[bool] = True

    bucket: int | None = 2048

    def __post_init__(self) -> None:
        self.check_bucket()

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        return solve_rows(x, bucket, optimal_magnitude)

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        return Rule.between(torch.cat([-numbers, numbers], dim=1), bucket, random=True)

    @property
    def alphabet(self) -> int:
        return 2

    def alpha(self, d: int) -> float:
        return 1 / self.size(d)

    def b1(self, d: int) -> B1:
        size = self.size(d)
        return B1(size / (size**2 + size - 1), 1)

    def b2(self, d: int) -> B2:
        return B2(1 / self.size(d), 1)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d + (8 * itemsize - 1) * count_of(d, self.bucket)


def optimal_magnitude(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, 1) the b = E[|v| 1{|v| > b}] of each.

    With the magnitudes in ascending order, the right side is sum_{i >= k} a_i / n for b in [a_{k-1}, a_k). It falls in
    k and a_{k-1} rises, so they cross at the least of their maxima.
    """
    ordered = np.sort(np.abs(rows), axis=1)
    tails = np.cumsum(ordered[:, ::-1], axis=1)[:, ::-1] / rows.shape[1]
    crossings = np.maximum(np.pad(ordered, ((0, 0), (1, 0))), np.pad(tails, ((0, 0), (0, 1))))
    return crossings.min(axis=1, keepdims=True)
