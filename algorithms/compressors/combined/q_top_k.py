"""Quantized largest entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.compressors.combined.composition import Composition, SparsifierThenQuantizer
from algorithms.compressors.quantizers.qsgd import QSGD
from algorithms.compressors.sparsifiers.sparsifier import KeepsFixedNumber
from algorithms.compressors.sparsifiers.top_k import TopK


@dataclass(frozen=True)
class QTopK(KeepsFixedNumber, Composition):
    """C(x) = Q(T) / (1 + omega) for the k entries T of largest magnitude: `Composed(TopK, QSGD)`.

    Basu, Data, Karakus, Diggavi, "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification and Local
    Computations", NeurIPS 2019, arXiv 1906.02367.

    With omega that of `QSGD` for k entries: a contraction with alpha = k / (d (1 + omega)); not scaled, C(x) = Q(T),
    with alpha = (1 - omega) k/d, and none for omega >= 1. Biased. By the paper's count 8 itemsize - 1 + k log2(2 s + 1)
    + log2 binomial(d, k) bits.

    Payload: the indices as Rice-coded gaps or a bitmap (`algorithms.compressors.wire.indices`), then the
    payload of `QSGD` for the kept numbers.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
        levels: s, the number of positive levels of Q, >= 1.
        norm: Of the kept entries: "l2", or "max" for the largest magnitude.
        scaled: Whether Q(T) is divided by 1 + omega.
    """

    levels: int = 7
    norm: Literal["l2", "max"] = "l2"
    scaled: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        QSGD(self.levels, self.norm)  # to refuse what it refuses

    @property
    def parts(self) -> SparsifierThenQuantizer:
        return SparsifierThenQuantizer(TopK(self.fraction, self.k), QSGD(self.levels, self.norm), self.scaled)
