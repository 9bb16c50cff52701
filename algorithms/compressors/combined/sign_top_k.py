"""Scaled signs of the largest entries.

Basu, Data, Karakus, Diggavi, "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification and Local
Computations", NeurIPS 2019, arXiv 1906.02367.
"""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.compressors.combined.composition import Composition, Parts
from algorithms.compressors.quantizers.sign import ScaledSign
from algorithms.compressors.sparsifiers.sparsifier import KeepsFixedNumber
from algorithms.compressors.sparsifiers.top_k import TopK


@dataclass(frozen=True)
class SignTopK(KeepsFixedNumber, Composition):
    """C(x) = (|T|_1 / k) sign(T) for the k entries T of largest magnitude: `Composed(TopK, ScaledSign)`.

    |C(x) - x|^2 = |x|^2 - |T|_1^2 / k, a contraction with alpha = |T|_1^2 / (k |x|^2) >= 1/d; biased. By the paper's
    count k + 8 itemsize + log2 binomial(d, k) bits. With the l1 norm; the paper has other norms too.

    Payload: the indices (`algorithms.compressors.wire.indices`), the scale, then the signs, 1 where negative.

    Args:
        fraction: See `TopK`.
        k: See `TopK`.
    """

    @property
    def parts(self) -> Parts:
        return Parts(TopK(self.fraction, self.k), ScaledSign(), scaled=False)
