"""Sparsification and quantization together, in general."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.compressors.combined.composition import Composition, SparsifierThenQuantizer
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier


@dataclass(frozen=True)
class Composed(Composition):
    """C(x) = c Q(T), T the entries of x that a sparsifier keeps: norms, buckets and levels of Q are those of T.

    With alpha(d) of the sparsifier, k/d for Top-k, and what is known of Q on k entries, the contraction alpha is

        alpha(d) alpha_Q(k)        for a contraction Q, c = 1, or more where Q says so (`alpha_of_largest`);
        alpha(d) / (1 + omega(k))  for an unbiased Q, scaled: c = 1 / (1 + omega(k));
        alpha(d) (1 - omega(k))    for an unbiased Q, not scaled: c = 1, no contraction for omega(k) >= 1.

    An unbiased Q after an unbiased sparsifier is unbiased, omega = (1 + omega(d)) (1 + omega_Q(k)) - 1. Where k varies,
    it is the worst one in the constants, and the one found in c. The two draw independently. Bits are those of the
    indices and of Q for k numbers.

    Basu, Data, Karakus, Diggavi, "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification and Local
    Computations", NeurIPS 2019, arXiv 1906.02367; Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for
    Distributed Learning", JMLR 2023, arXiv 2002.12410 (Top-k with exponential dithering).

    The sparsifier may remember, and so may the quantizer where the sparsifier always keeps as many entries.

    Payload: where the kept entries are, as the sparsifier says it, then the payload of Q for them, if there are any.

    Args:
        sparsifier: What keeps some of the entries.
        quantizer: Q.
        scaled: Whether an unbiased Q after a biased sparsifier is scaled to contract; others are not.
    """

    sparsifier: Sparsifier
    quantizer: Compressor
    scaled: bool = True

    @property
    def parts(self) -> SparsifierThenQuantizer:
        return SparsifierThenQuantizer(self.sparsifier, self.quantizer, self.scaled)
