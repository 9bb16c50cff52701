"""Scaled signs of the largest entries."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.compressors.combined.composition import Composition, SparsifierThenQuantizer
from algorithms.compressors.quantizers.sign import ScaledSign
from algorithms.compressors.sparsifiers.sparsifier import KeepsFixedNumber
from algorithms.compressors.sparsifiers.top_k import TopK


@dataclass(frozen=True)
class SignTopK(KeepsFixedNumber, Composition):
    """C(x) = (|T|_1 / k) sign(T) for the k entries T of largest magnitude: `Composed(TopK, ScaledSign)`.

    Basu, Data, Karakus, Diggavi, "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification and Local
    Computations", NeurIPS 2019, arXiv 1906.02367.

    |C(x) - x|^2 = |x|^2 - |T|_1^2 / k, a contraction with alpha = |T|_1^2 / (k |x|^2) >= min(1/k, k/d), which a single
    entry and equal ones attain (`ScaledSign.alpha_of_largest` has the proof; the paper's constant is 1/d); biased. By
    the paper's count k + 8 itemsize + log2 binomial(d, k) bits. With the l1 norm; the paper has other norms too.

    Payload: the indices as Rice-coded gaps or a bitmap (`algorithms.compressors.wire.indices`), the
    scale, then the signs, 1 where negative.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
    """

    @property
    def parts(self) -> SparsifierThenQuantizer:
        return SparsifierThenQuantizer(TopK(self.fraction, self.k), ScaledSign(), scaled=False)
