"""Sparse dithering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import entropy_coding, frames, indices, scaling, symbols
from algorithms.compressors.wire.frames import Bytes
from algorithms.compressors.wire.indices import Indices
from algorithms.randomness import Key, stream
from algorithms.state import Block

ENTROPY = 254  # in the place of the parameter that coded indices begin with: code words instead


@dataclass(frozen=True)
class SparseDithering(Compressor):
    """Rounds x / |x| to a lattice so coarse that most entries of many vectors become zero.

    Albasyoni, Safaryan, Condat, Richtárik, "Optimal Gradient Compression for Distributed and Federated Learning",
    2020, arXiv 2010.03246.

    With h = sqrt(nu / d) and u = x / |x|:

        k_i = floor(|u_i| / (2 h) + 1/2),    v_i = sign(u_i) 2 h k_i,    C(x) = (<x, v> / |v|^2) v,

    a contraction |C(x) - x|^2 <= nu |x|^2, biased; or k_i is |u_i| / (2 h) rounded up or down at random such that it
    is unbiased, and C(x) = |x| v, without the projection, with omega = nu.

    With N entries that are not zero, 8 itemsize - 1 + log2 d + log2 binomial(d, N) + N + sum k_i bits, at most

        8 itemsize - 1 + log2 d + d max_t [H2(t) + t + (t + sqrt(t / nu)) / 2],    H2 the entropy of a bit,

    which is 3.35 d + O(log d) for nu = 1/10, for every x; at random H2(t) + t + sqrt(t (1 + nu) / nu) / 2 on average.
    These bounds are `paper_bits`. Numbers in unary are short for the nu of the paper, not for very small ones.

    Payload: the scale, N as a variable-length number, the N signs (1 where negative) and k_i - 1 zeros and a one for
    each, then where they are, or where the zeros are if these are fewer: as `wire.indices` tells it
    or, where it is shorter, entropy-coded; about log2 binomial(d, N) + 45 bits at most.

    Args:
        nu: Relative error, in (0, 1); any positive number if randomized.
        randomized: Whether rounding is random and unbiased.
    """

    nu: float = 0.1
    randomized: bool = False

    def __post_init__(self) -> None:
        check(positive(self.nu), self, "nu", "positive and finite")
        check(self.randomized or self.nu < 1, self, "nu", "below 1 unless randomized")

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        vector, exponent = scaling.lift(x.numpy())
        norm = np.sqrt(np.sum(vector**2, keepdims=True))
        if self.randomized:
            scale = scaling.drop(norm, exponent, x, self)
            norm = np.ldexp(scale.double().numpy(), -exponent)  # what the receivers have, for it to be unbiased
        step = self._step(len(x))
        places = np.abs(vector) / (norm * step) if norm else vector
        levels = np.floor(places + (stream(key.own).random(len(x)) if self.randomized else 0.5))
        if not self.randomized:
            square = step * np.sum(levels**2)
            projected = np.sum(np.abs(vector) * levels, keepdims=True) / (square or 1.0)
            scale = scaling.drop(projected, exponent, x, self)
        support = np.flatnonzero(levels)
        numbers = levels[support].astype(np.int64)
        bits = np.zeros(len(support) + numbers.sum(), np.uint8)
        bits[: len(support)] = vector[support] < 0
        bits[len(support) + np.cumsum(numbers) - 1] = 1
        where = _encode_support(support, len(x))
        sections = [torch.from_numpy(each) for each in (np.packbits(bits), where)]
        payload = torch.cat([frames.as_bytes(scale), frames.varints([len(support)]), *sections])
        return scaling.decodable(payload, x, self)

    def decode(self, payload: Tensor, out: Tensor) -> None:
        scale, support, numbers = self._read(payload, len(out), out.dtype)
        values = np.zeros(len(out))
        values[support] = numbers * self._step(len(out)) * float(scale)
        out[:] = torch.from_numpy(values)
        frames.finite(out)

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.randomized

    @property
    def biased(self) -> bool:
        return not self.randomized

    def omega(self, d: int) -> float:
        return self.nu if self.randomized else math.inf

    def alpha(self, d: int) -> float:
        return max(0.0, 1 - self.nu)

    def b1(self, d: int) -> B1 | None:
        return super().b1(d) if self.randomized else B1(1 - self.nu, 1)

    def b2(self, d: int) -> B2 | None:
        return super().b2(d) if self.randomized else B2(1 - self.nu, 1)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize - 1 + math.log2(d) + d * _bits_per_entry(self.nu, self.randomized)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        _, support, numbers = self._read(payload, d, torch.float64 if itemsize == 8 else torch.float32)
        dense = np.zeros(d, np.int64)
        dense[support] = numbers
        base = int(dense.max() - dense.min()) + 1
        return 8 * itemsize + symbols.entropy(torch.from_numpy(dense - dense.min()), base)

    def _read(self, payload: Tensor, d: int, dtype: torch.dtype) -> tuple[Tensor, Indices, Indices]:
        """(scale, indices of the entries that are not zero, their k_i with signs)."""
        _expect(len(payload) > dtype.itemsize)
        scale = frames.finite(frames.from_bytes(payload[: dtype.itemsize], dtype))
        (count,), rest = frames.read_varints(payload[dtype.itemsize :], 1)
        packed = rest.numpy()
        bits = np.unpackbits(packed)
        ends = np.flatnonzero(bits[count:])[:count]
        _expect(count <= d and len(ends) == count)
        numbers = np.diff(ends, prepend=-1)
        length = -(-(count + int(numbers.sum())) // 8)
        support = _decode_support(packed[length:], count, d)
        return scale, support, np.where(bits[:count], -numbers, numbers)

    def _step(self, d: int) -> float:
        """2 h."""
        return 2 * math.sqrt(self.nu / d)


def _encode_support(support: Indices, d: int) -> Bytes:
    """Where the entries are that are not zero, or those that are if they are fewer."""
    fewer = support if 2 * len(support) <= d else np.setdiff1d(np.arange(d), support, assume_unique=True)
    if not len(fewer):
        return np.empty(0, np.uint8)
    coded = entropy_coding.words(np.bincount(fewer, minlength=d), _counts(len(fewer), d))
    coded = np.concatenate([np.array([ENTROPY], np.uint8), coded])
    return min(indices.encode(fewer, d), coded, key=len)


def _decode_support(packed: Bytes, count: int, d: int) -> Indices:
    fewer = min(count, d - count)
    if not fewer:
        found, rest = np.empty(0, np.int64), packed
    elif len(packed) and packed[0] == ENTROPY:
        found, rest = np.flatnonzero(entropy_coding.read_words(packed[1:], _counts(fewer, d))), packed[:0]
    else:
        found, rest = indices.decode(packed, fewer, d)
    _expect(len(found) == fewer and not len(rest))
    return found if 2 * count <= d else np.setdiff1d(np.arange(d), found, assume_unique=True)


def _counts(count: int, d: int) -> Indices:
    return np.array([d - count, count])


def _expect(valid: bool) -> None:
    if not valid:
        raise ValueError("the numbers of a message are damaged")


@lru_cache
def _bits_per_entry(nu: float, randomized: bool) -> float:
    """The largest number of bits that an entry takes, apart from what all entries share."""
    from scipy.optimize import minimize_scalar

    def bits(t: float) -> float:  # for a share t of entries that are not zero; concave
        support = -t * math.log2(t) - (1 - t) * math.log2(1 - t)
        unary = math.sqrt(t * (1 + nu) / nu) if randomized else t + math.sqrt(t / nu)
        return support + t + unary / 2

    inside = minimize_scalar(lambda t: -bits(t), bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    return float(-inside.fun)
