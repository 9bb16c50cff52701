"""PowerSGD's low-rank approximation.

Vogels, Karimireddy, Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization", NeurIPS
2019, arXiv 1905.13727.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.low_rank.low_rank import LowRank, Part
from algorithms.compressors.theory import B1, B2


@dataclass(frozen=True)
class PowerSGD(LowRank):
    """Replaces each matrix M (n, m) of the model, n >= m or transposed, by a product of rank r.

        Q = Gaussian (m, r);  as often as said: P = orthonormal basis of M Q, Q = M^T P;  C(M) = P Q^T = P P^T M.

    A step of the paper does this once and begins with the Q of the step before; here each vector is by itself, and more
    iterations do for it what this warm start does over steps: they converge to the best approximation of rank r.

    |C(M) - M|^2 = |M|^2 - |C(M)|^2, biased, and a contraction in expectation with alpha = r / m, m the shorter side:
    the range of M P_Q, where P_Q projects on that of Q, is the range of M Q, in which P P^T M is what is nearest to M.
    So |M - P P^T M| <= |M - M P_Q|, and E|M P_Q|^2 = (r / m) |M|^2 as the range of Q is uniformly distributed. Further
    iterations only lower the error: with Q = M^T P, |P^T M| = |P^T M P_Q| <= |M P_Q| <= |C(M)| of the next one. Exact
    if the rank of M is r at most. 8 itemsize r (n + m) bits a matrix.

    Payload: P and Q of each matrix; what is no matrix, and what they would not be shorter for, as it is
    (`algorithms.compressors.low_rank.low_rank`).

    Args:
        rank: r, >= 1.
        iterations: Power iterations, >= 1.
        shapes: See `LowRank`.
    """

    random: ClassVar[bool] = True

    rank: int = 2
    iterations: int = 1

    def __post_init__(self) -> None:
        check(self.rank >= 1, self, "rank", ">= 1")
        check(self.iterations >= 1, self, "iterations", ">= 1")

    def products(self, part: Part) -> float:
        return self.rank

    def count(self, part: Part) -> int:
        return self.rank

    def factors(self, matrix: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        right = torch.from_numpy(random.standard_normal((matrix.shape[1], self.rank)))
        for _ in range(self.iterations):
            # Householder reflections give an orthonormal basis even where columns are zero or dependent.
            left = torch.linalg.qr(matrix @ right).Q
            right = matrix.T @ left
        return left.T, right.T

    def alpha(self, d: int) -> float:
        return min(self.rank / min(part.n, part.m) if self.shortens(part) else 1.0 for part in self.parts(d))

    def b1(self, d: int) -> B1:
        return B1(self.alpha(d), 1)

    def b2(self, d: int) -> B2:
        return B2(self.alpha(d), 1)
