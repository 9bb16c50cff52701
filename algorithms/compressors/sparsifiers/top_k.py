"""Top-k sparsification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors.sparsifiers.sparsifier import FixedSparsifier
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import indices
from algorithms.compressors.wire.indices import Indices
from algorithms.numerics.compiled import COMPILED
from algorithms.randomness import Key
from algorithms.state import Block

Integers = NDArray[Any]

SAMPLED = 20_000  # entries that the filter's threshold is estimated from
INFINITE = {torch.float32: 0xFF << 23, torch.float64: 0x7FF << 52}  # the bits of infinity; those of NaN are above it
MARGIN = 1.5  # times k entries should pass it: fewer than k would be too few


@dataclass(frozen=True)
class TopK(FixedSparsifier):
    """Keeps the k entries of largest magnitude; of equal ones those of smallest index.

    Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599.

    C(x)_i = x_i for i in T, else 0, where |x_i| >= |x_j| for i in T and j outside. A contraction, |C(x) - x|^2 <= (1 -
    k/d) |x|^2, alpha = k/d; biased. By the paper's count k (8 itemsize) + log2 binomial(d, k) bits.

    Payload: the indices as Rice-coded gaps or a bitmap (`algorithms.compressors.wire.indices`), then the kept
    numbers in their order.

    Args:
        fraction: Kept share of the d entries, in (0, 1]: k = max(1, floor(fraction * d)).
        k: Number of entries kept, at least 1. Exactly one of `fraction` and `k` must be given.

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> message = TopK(k=2).compress(torch.tensor([[1.0, -5.0, 2.0, 0.5]]), Draw(0, "example", [0], 0))
    >>> message.dense()
    tensor([[ 0., -5.,  2.,  0.]])
    """

    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True
    largest: ClassVar[bool] = True

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        kept = largest_entries(x, self.kept(len(x)))
        return kept, torch.from_numpy(indices.encode(kept.cpu().numpy(), len(x)))

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        kept, rest = indices.decode(payload.numpy(), self.kept(d), d)
        return torch.from_numpy(kept), torch.from_numpy(rest)

    def alpha(self, d: int) -> float:
        return self.kept(d) / d

    def b1(self, d: int) -> B1:
        return B1(self.kept(d) / d, 1)

    def b2(self, d: int) -> B2:
        return B2(self.kept(d) / d, 1)

    def index_bits(self, d: int, k: float) -> float:
        return indices.entropy(k, d)


def largest_entries(x: Tensor, k: int) -> Tensor:
    """(k,) the indices of the entries of largest magnitude, ascending; of equal ones the smallest indices.

    Without their sign, the bits of floating-point numbers are integers in the same order.

    Raises:
        NonFiniteError: if there are NaN or infinity among them.
    """
    bits = x.view(torch.int32 if x.dtype == torch.float32 else torch.int64)
    if not x.is_cpu:
        return _largest_of_any(_finite(bits & torch.iinfo(bits.dtype).max, x), k)
    candidates = _candidates(bits.numpy(), k) if x.nbytes >= COMPILED else None
    if candidates is None:
        return torch.from_numpy(_largest(_finite(_without_sign(bits.numpy()), x), k))
    found, magnitudes = candidates
    return torch.from_numpy(found[_largest(_finite(magnitudes, x), k)])


def _finite(magnitudes: Any, x: Tensor) -> Any:
    """These magnitudes of x, which the largest one is among."""
    if int(magnitudes.max()) >= INFINITE[x.dtype]:
        raise NonFiniteError("TopK: the vector to compress holds NaN or infinity")
    return magnitudes


def _largest_of_any(magnitudes: Tensor, k: int) -> Tensor:
    """`_largest` wherever the vector lies."""
    least = magnitudes.topk(k).values.min()
    above = (magnitudes > least).nonzero()[:, 0]
    equal = (magnitudes == least).nonzero()[: k - len(above), 0]
    return torch.cat([above, equal]).sort().values


def _largest(magnitudes: Integers, k: int) -> Indices:
    least = np.partition(magnitudes, len(magnitudes) - k)[len(magnitudes) - k]
    chosen = magnitudes >= least
    surplus = np.count_nonzero(chosen) - k
    if surplus:
        chosen[np.flatnonzero(magnitudes == least)[-surplus:]] = False
    return np.flatnonzero(chosen)


def _candidates(bits: Integers, k: int) -> tuple[Indices, Integers] | None:
    """Entries, ascending, that the k largest are among, and their magnitudes; None if there is no telling."""
    from algorithms.compressors.loops.sparsifying import at_least

    sample = _without_sign(bits[:: max(1, len(bits) // SAMPLED)])
    passing = round(MARGIN * k / len(bits) * len(sample)) + 1
    if 2 * passing >= len(sample):
        return None
    threshold = np.partition(sample, len(sample) - passing)[len(sample) - passing]
    room = 4 * k + SAMPLED
    found, magnitudes = np.empty(room, np.int64), np.empty(room, bits.dtype)
    count = at_least(bits, threshold, found, magnitudes)
    return (found[:count], magnitudes[:count]) if count >= k else None


def _without_sign(bits: Integers) -> Integers:
    return bits & np.iinfo(bits.dtype).max
