"""ATOMO: unbiased sparsification of a sum of orthonormal atoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.compressors.low_rank.low_rank import LowRank, Part
from algorithms.compressors.wire import frames, indices, scaling
from algorithms.compressors.wire.scaling import Array
from algorithms.randomness import Key, stream
from algorithms.state import Block

ATOMS = ("entries", "singular")


@dataclass(frozen=True)
class Atomo(LowRank):
    """Keeps atom a_i of x = sum_i lambda_i a_i with probability p_i, scaled by 1/p_i, so that it is unbiased.

    Wang, Sievert, Liu, Charles, Papailiopoulos, Wright, "ATOMO: Communication-efficient Learning via Atomic
    Sparsification", NeurIPS 2018, arXiv 1806.04090.

    The p_i <= 1 minimize E|C(x) - x|^2 = sum_i lambda_i^2 (1/p_i - 1) subject to sum_i p_i = s: p_i is proportional to
    |lambda_i|, except that those which were above 1 are 1 and the others share what is left, until none is above 1.
    (The code of the authors caps them once and so stays below the budget.) Atoms that are zero are never sent.

    No worse than p_i = s/d for all of the d atoms, so omega = d/s - 1. Of entries, 8 itemsize s + log2 binomial(d, s)
    bits on average; of a matrix (n, m), whose min(n, m) atoms are its singular vectors, 8 itemsize s (n + m).

    Payload: of entries, their number, their indices (see `wire.indices`) and the scaled numbers; of
    matrices, the number of atoms, their u on the longer side, and (sigma / p) v (see `low_rank.low_rank`).

    Args:
        atoms: "entries" of the vector, or "singular" vectors of each matrix of the model.
        fraction: s as a share of the atoms, of the vector or of each matrix, in (0, 1].
        budget: s itself, > 0; at most d for entries, while matrices with less atoms keep all of theirs. Exactly one of
            `fraction` and `budget` must be given.
        shapes: Of the tensors of the model, in order, for singular vectors; filled in by `for_layout`. Without, the
            vector is one matrix, as square as possible.
    """

    random: ClassVar[bool] = True

    atoms: Literal["entries", "singular"] = "entries"
    fraction: float | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        check(self.atoms in ATOMS, self, "atoms", f"one of {', '.join(ATOMS)}")
        if (self.fraction is None) == (self.budget is None):
            raise ValueError("Atomo: give exactly one of fraction (in (0, 1]) and budget (> 0)")
        check(self.fraction is None or 0 < self.fraction <= 1, self, "fraction", "in (0, 1]")
        check(self.budget is None or positive(self.budget), self, "budget", "positive and finite")

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        if self.atoms == "singular":
            return super().encode(x, key)
        entries, exponents = scaling.lift(x.numpy())
        kept, scales = self._draw(entries, self._budget(len(x)), stream(key.own))
        values = scaling.drop(entries[kept] * scales, exponents, x, self)
        where = torch.from_numpy(indices.encode(kept, len(x)))
        return torch.cat([frames.varints([len(kept)]), where, frames.as_bytes(values)])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        if self.atoms == "singular":
            super().decode(payload, out)
            return
        kept, values = self._read(payload, out)
        out[:] = 0
        out.index_copy_(0, kept, values)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        if self.atoms == "singular":
            super().accumulate(payload, weight, out)
            return
        kept, values = self._read(payload, out)
        out.index_add_(0, kept, weight * values)

    def products(self, part: Part) -> float:
        return self._budget(min(part.n, part.m))

    def factors(
        self, matrix: Tensor, random: np.random.Generator, memory: Block | None = None
    ) -> tuple[Tensor, Tensor]:
        left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
        kept, scales = self._draw(singular.numpy(), self._budget(len(singular)), random)
        chosen = torch.from_numpy(kept)
        return left.T[chosen], right[chosen] * (singular[chosen] * torch.from_numpy(scales))[:, None]

    def check_dimension(self, d: int) -> None:
        if self.atoms == "singular":
            super().check_dimension(d)
        else:
            check(self.budget is None or self.budget <= d, self, "budget", f"at most d = {d}, the number of parameters")

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        if self.atoms == "entries":
            return d / self._budget(d) - 1
        return max(
            min(part.n, part.m) / self.products(part) - 1 if self.shortens(part) else 0.0 for part in self.parts(d)
        )

    def paper_bits(self, d: int, itemsize: int) -> float:
        if self.atoms == "singular":
            return super().paper_bits(d, itemsize)
        kept = self._budget(d)
        return 8 * itemsize * kept + indices.entropy(kept, d)

    def _budget(self, atoms: int) -> float:
        """s."""
        if self.fraction is not None:
            return self.fraction * atoms
        assert self.budget is not None
        return min(self.budget, atoms)

    def _draw(self, sizes: Array, budget: float, random: np.random.Generator) -> tuple[Array, Array]:
        """(ascending indices of the atoms to send, 1/p for each)."""
        shares = probabilities(np.abs(sizes), budget)
        kept = np.flatnonzero(random.random(len(sizes)) < shares)
        return kept, 1 / shares[kept]

    def _read(self, payload: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        (count,), rest = frames.read_varints(payload, 1)
        kept, packed = indices.decode(rest.numpy(), count, len(out))
        self.check_length(torch.from_numpy(packed), count * out.itemsize)
        values = frames.finite(frames.from_bytes(torch.from_numpy(packed), out.dtype))
        return torch.from_numpy(kept).to(out.device), values.to(out.device)


def probabilities(sizes: Array, budget: float) -> Array:
    """The p <= 1 with sum `budget` that minimize sum_i sizes_i^2 / p_i for sizes >= 0.

    Where fewer sizes than this are not zero, these have p = 1, and the others 0.
    """
    largest = np.sort(sizes)[::-1]
    rest = np.cumsum(largest[::-1])[::-1]  # the sum of each size and all smaller ones
    left = budget - np.arange(len(sizes))  # for them, if all before them have p = 1
    fits = left * largest <= rest
    first = int(fits.argmax()) if fits.any() else len(sizes)
    if first == len(sizes) or rest[first] == 0:
        return (sizes > 0).astype(np.float64)
    return np.minimum(sizes * left[first], rest[first]) / rest[first]
