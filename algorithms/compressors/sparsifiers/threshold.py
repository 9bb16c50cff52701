"""Hard-threshold sparsification."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from algorithms.compressors.wire import frames, indices
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class Threshold(Sparsifier):
    """Keeps the entries with |x_i| >= threshold, however many they are.

    Sahu, Dutta, Abdelmoniem, Banerjee, Canini, Kalnis, "Rethinking gradient sparsification as total error
    minimization", NeurIPS 2021, arXiv 2108.00951.

    |C(x) - x|^2 <= d threshold^2, and <= |x|^2, but no contraction: small vectors vanish. Biased. For k kept entries
    k (8 itemsize) + log2 binomial(d, k) bits, and log2(d + 1) for k; `paper_bits` gives those of k = d, the most.

    Payload: k as a variable-length number, the indices (see `wire.indices`), the kept numbers in their
    order.

    Args:
        threshold: The smallest magnitude that is kept, > 0, rounded to the precision of the vector.
    """

    threshold: float

    def __post_init__(self) -> None:
        check(positive(self.threshold), self, "threshold", "> 0")

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        vector = x.numpy()
        with np.errstate(over="ignore"):  # beyond the precision nothing is kept
            least = vector.dtype.type(self.threshold)
        kept = np.flatnonzero(np.abs(vector) >= least)
        section = torch.cat([frames.varints([len(kept)]), torch.from_numpy(indices.encode(kept, len(x)))])
        return torch.from_numpy(kept), section

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        (k,), payload = frames.read_varints(payload, 1)
        if k > d:
            raise ValueError(f"a payload with {k} of {d} entries")
        kept, rest = indices.decode(payload.numpy(), k, d)
        return torch.from_numpy(kept), torch.from_numpy(rest)

    def kept(self, d: int) -> int:
        return d

    def sizes(self, d: int) -> range:
        return range(d + 1)

    def index_bits(self, d: int, k: float) -> float:
        return math.log2(d + 1) + indices.entropy(k, d)
