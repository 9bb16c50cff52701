"""Spherical compression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.special import beta, betainc
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.quantizers.buckets import count_of, rows_of
from algorithms.compressors.theory import B1, B2, B3
from algorithms.compressors.wire import frames, indices, scaling
from algorithms.compressors.wire.indices import Indices
from algorithms.compressors.wire.scaling import Array
from algorithms.numerics.threads import one_thread
from algorithms.randomness import Key, random_bits, stream
from algorithms.state import Block

AT_MOST = 1e6  # vectors that are looked at on average before one is near enough
CHUNK = 1024  # vectors that are drawn at once
ROWS = 512  # blocks that are compared with them at once
SLACK = 1e-6  # of the cosines by which candidates are found, whose last bits depend on the order of summation
EXACT = 1 - 1e-14  # of the bound, for the rounding of the errors that are compared with it


@dataclass(frozen=True)
class Spherical(Compressor):
    """Replaces each block of entries by the first vector near enough of a random sequence that all can draw.

    Albasyoni, Safaryan, Condat, Richtárik, "Optimal Gradient Compression for Distributed and Federated Learning",
    2020, arXiv 2010.03246.

    For a block x and unit vectors s_1, s_2, ... drawn uniformly and independently,

        C(x) = sqrt(1 - a) |x| s_J,    J the first with <x, s_J> >= sqrt(1 - a) |x|.

    |C(x) - x|^2 <= a |x|^2 for every x and every draw, of what is decoded and so after all rounding except that to
    denormal numbers. With m = E<x, s_J> / |x| > sqrt(1 - a), E C(x) = sqrt(1 - a) m x, so it is biased and in
    expectation a contraction with alpha = 2 sqrt(1 - a) m - (1 - a) > 1 - a.

    J is geometric with p = I_a((n - 1)/2, 1/2) / 2, the share of a sphere in n dimensions that is near enough (I the
    regularized incomplete beta function). 8 itemsize - 1 for the norm and the entropy of J, about log2(1/p) + 1.44
    bits, for each block of n entries. About 1/p vectors must be looked at, so blocks have to be small. All blocks of a
    vector share the sequence. The last one is filled with zeros.

    Payload: the 64 bits that the sequence is drawn from, the norms, and J - 1 for each block whose norm is not zero, in
    a Rice code with the best parameter for this p.

    Args:
        error: a, in (0, 1).
        block: n, entries of a block, >= 2.
    """

    random: ClassVar[bool] = True

    error: float = 0.5
    block: int = 8

    def __post_init__(self) -> None:
        check(0 < self.error < 1, self, "error", "in (0, 1)")
        check(self.block >= 2, self, "block", ">= 2")
        trials = 1 / self._share if self._share else math.inf
        smaller = (
            f"smaller for error = {self.error}: one vector of {trials:.1e} is near enough, of {AT_MOST:.0e} allowed"
        )
        check(trials <= AT_MOST, self, "block", smaller)

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        rows, exponents = scaling.lift(rows_of(x, self.block).numpy())
        lengths = np.sqrt(_squares(rows))
        norms = scaling.drop(lengths, exponents[:, 0], x, self)
        chosen = self._search(rows, exponents, lengths, norms.numpy(), key.own)
        coded = torch.from_numpy(indices.rice(chosen, self._parameter))
        return torch.cat([frames.from_word(key.own), frames.as_bytes(norms), coded])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        own, norms, chosen = self._read(payload, out)
        rows = np.zeros((len(norms), self.block), norms.dtype)
        blocks = np.flatnonzero(norms)
        for number in np.unique(chosen // CHUNK):
            here = chosen // CHUNK == number
            vectors = _chunk(own, int(number), self.block)[chosen[here] % CHUNK]
            rows[blocks[here]] = self._decoded(norms[blocks[here]], vectors)
        out[:] = torch.from_numpy(rows.reshape(-1)[: len(out)])

    def alpha(self, d: int) -> float:
        return 2 * math.sqrt(1 - self.error) * self._cosine - (1 - self.error)

    def b1(self, d: int) -> B1:
        # Of a block that was filled up, only what is left along x is certain, and no cosine is below sqrt(1 - a).
        least = (1 - self.error) ** (1 if d % self.block == 0 else 2)
        return B1(least, math.sqrt(1 - self.error) / self._cosine)

    def b2(self, d: int) -> B2:
        return B2(math.sqrt(1 - self.error) * self._cosine, math.sqrt(1 - self.error) / self._cosine)

    def b3(self, d: int) -> B3:
        return B3(1 / self._cosine**2, self._cosine / math.sqrt(1 - self.error))

    def paper_bits(self, d: int, itemsize: int) -> float:
        p = self._share
        entropy = -(p * math.log2(p) + (1 - p) * math.log2(1 - p)) / p
        return count_of(d, self.block) * (8 * itemsize - 1 + entropy)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        out = torch.empty(d, dtype=torch.float64 if itemsize == 8 else torch.float32)
        _, norms, chosen = self._read(payload, out)
        law = -len(chosen) * math.log2(self._share) - int(chosen.sum()) * math.log2(1 - self._share)
        return 64 + 8 * itemsize * len(norms) + law

    def _search(self, rows: Array, exponents: Array, lengths: Array, norms: Array, own: int) -> Indices:
        """J - 1 of each block whose norm is not zero."""
        found = np.full(len(rows), -1)
        left = np.flatnonzero(norms)
        number = 0
        while len(left):
            vectors = _chunk(own, number, self.block)
            for start in range(0, len(left), ROWS):
                some = left[start : start + ROWS]
                directions = torch.from_numpy(rows[some] / lengths[some, None])
                with one_thread():
                    near = directions @ torch.from_numpy(vectors).T >= math.sqrt(1 - self.error) - SLACK
                which, candidates = np.nonzero(near.numpy())
                decoded = self._decoded(norms[some[which]], vectors[candidates])
                within = self._within(decoded, rows[some[which]], exponents[some[which]])
                which, first = np.unique(which[within], return_index=True)
                found[some[which]] = number * CHUNK + candidates[within][first]
            left = left[found[left] < 0]
            number += 1
        return found[found >= 0]

    def _within(self, decoded: Array, rows: Array, exponents: Array) -> Array:
        """(candidates,) which decoded blocks are within the bound, up to the rounding to denormal numbers."""
        errors = np.sqrt(_squares(np.ldexp(decoded.astype(np.float64), -exponents) - rows))
        denormal = (math.sqrt(self.block) + 1) / 2 * float(np.finfo(decoded.dtype).smallest_subnormal)
        bound = math.sqrt(self.error) * np.sqrt(_squares(rows)) * EXACT
        return errors <= bound + np.ldexp(denormal, -exponents[:, 0])

    def _decoded(self, norms: Array, vectors: Array) -> Array:
        """(blocks, block) what becomes of norms and unit vectors, in the precision of the norms."""
        scales = math.sqrt(1 - self.error) * norms.astype(np.float64)
        with np.errstate(under="ignore"):
            return (scales[:, None] * vectors).astype(norms.dtype)

    def _read(self, payload: Tensor, out: Tensor) -> tuple[int, Array, Indices]:
        """(the bits that the sequence is drawn from, norms, J - 1 of each block whose norm is not zero)."""
        own, rest = frames.read_word(payload)
        norms, rest = frames.read_values(rest, count_of(len(out), self.block), out.dtype)
        nonzero = int(frames.finite(norms).count_nonzero())
        chosen, packed = indices.read_rice(rest.numpy(), nonzero, self._parameter, 8 * len(rest))
        if len(packed):
            raise ValueError(f"{len(packed)} bytes too much")
        return own, norms.cpu().numpy(), chosen

    @property
    def _share(self) -> float:
        """p, the share of the sphere that is near enough to a vector."""
        return float(betainc((self.block - 1) / 2, 0.5, self.error)) / 2

    @property
    def _cosine(self) -> float:
        """m, the average cosine of the angle between a block and its vector."""
        half = (self.block - 1) / 2
        return self.error**half / (2 * half * float(beta(half, 0.5)) * self._share)

    @property
    def _parameter(self) -> int:
        """Of the best Rice code for J - 1 (Kiely, "Selecting the Golomb Parameter in Rice Coding", 2004)."""
        golden = (1 + math.sqrt(5)) / 2
        return max(0, 1 + math.floor(math.log2(math.log(golden - 1) / math.log1p(-self._share))))


def _chunk(own: int, number: int, block: int) -> Array:
    """(CHUNK, block) the unit vectors of the sequence from number * CHUNK on."""
    vectors = stream(random_bits(own, number)).standard_normal((CHUNK, block))
    return vectors / np.sqrt(_squares(vectors))[:, None]


def _squares(rows: Array) -> Array:
    """Squared norms of the rows, (k, n) -> (k), summed from left to right."""
    total = np.zeros(len(rows))
    for column in rows.T:
        total += column**2
    return total
