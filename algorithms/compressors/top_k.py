"""Top-k sparsification.

Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algorithms.arithmetic import COMPILED
from algorithms.compressors import indices
from algorithms.compressors.indices import Indices
from algorithms.compressors.message import Vector
from algorithms.compressors.sparse import Sparsifier
from algorithms.compressors.wire import Bytes

SAMPLED = 20_000  # entries that the filter's threshold is estimated from
MARGIN = 1.5  # times k entries should pass it: fewer than k would be too few


@dataclass(frozen=True)
class TopK(Sparsifier):
    """Keeps the k entries of largest magnitude; of equal ones those of smallest index.

    Contraction |C(x) - x|^2 <= (1 - k/d) |x|^2; biased. By the paper's count k (8 itemsize) + log2 binomial(d, k) bits.

    Payload: the kept numbers in the order of their indices, then these (`algorithms.compressors.indices`).

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.
    """

    def encode(self, x: Vector, key: int) -> Bytes:
        kept = largest(x, self.kept(len(x)))
        return np.concatenate([x[kept].view(np.uint8), indices.encode(kept, len(x))])

    def decode(self, payload: Bytes, out: Vector) -> None:
        k = self.kept(len(out))
        values, section = payload[: k * out.itemsize], payload[k * out.itemsize :]
        kept = indices.decode(section, k, len(out))
        out[:] = 0
        out[kept] = values.copy().view(out.dtype)

    def alpha(self, d: int) -> float:
        return self.kept(d) / d

    def paper_bits(self, d: int, itemsize: int) -> float:
        k = self.kept(d)
        return 8 * itemsize * k + indices.entropy(k, d)


def largest(x: Vector, k: int) -> Indices:
    """(k,) the indices of the entries of largest magnitude, ascending; of equal ones the smallest indices."""
    candidates = _candidates(x, k) if x.nbytes >= COMPILED else None
    if candidates is None:
        return _largest(np.abs(x), k)
    return candidates[_largest(np.abs(x[candidates]), k)]


def _largest(magnitudes: Vector, k: int) -> Indices:
    least = np.partition(magnitudes, len(magnitudes) - k)[len(magnitudes) - k]
    above = np.flatnonzero(magnitudes > least)
    equal = np.flatnonzero(magnitudes == least)[: k - len(above)]
    return np.sort(np.concatenate([above, equal]))


def _candidates(x: Vector, k: int) -> Indices | None:
    """Indices of entries, ascending, that all larger ones are among, at least k; None if there is no telling."""
    from algorithms.compressors.kernels import at_least

    sample = np.abs(x[:: max(1, len(x) // SAMPLED)])
    passing = round(MARGIN * k / len(x) * len(sample)) + 1
    if 2 * passing >= len(sample):
        return None
    threshold = np.partition(sample, len(sample) - passing)[len(sample) - passing]
    found = np.empty(4 * k + SAMPLED, np.int64)
    count = at_least(x, threshold, found)
    return found[:count] if count >= k else None
