"""Sets of indices on the wire: Rice-coded gaps, or a bitmap where many are set.

The gaps between k of d ascending indices are close to geometric, for which a Rice code of parameter r (the quotient
gap >> r in unary, r low bits as they are) comes within 1 to 2 % of the entropy (Golomb 1966; Rice 1979).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from algorithms.compressors.wire.frames import Bytes
from algorithms.numerics.compiled import use_compiled

Indices = NDArray[np.int64]

BITMAP = 255  # in the place of r


def encode(indices: Indices, d: int) -> Bytes:
    """Ascending, distinct indices below d.

    One byte with the parameter r or `BITMAP`; then the r low bits of all gaps and, from a new byte on, the quotients,
    each as so many zeros and a one; or one bit for each of the d. Bytes are filled from their lowest bit on.
    """
    gaps = _gaps(indices)
    r = _parameter(gaps, d)
    if r is None:
        bits = np.zeros(d, np.uint8)
        bits[indices] = 1
        return np.concatenate([_byte(BITMAP), _packed(bits)])
    return np.concatenate([_byte(r), rice(gaps, r)])


def decode(packed: Bytes, k: int, d: int) -> tuple[Indices, Bytes]:
    """(the k indices below d that `packed` begins with, the bytes that follow).

    Raises:
        ValueError: if it does not begin with such indices.
    """
    _expect(k <= d)
    r, packed = int(packed[0]) if len(packed) else -1, packed[1:]
    if r == BITMAP:
        length = _bytes(d)
        _expect(len(packed) >= length)
        indices = np.flatnonzero(_unpacked(packed[:length], d))
        _expect(len(indices) == k)
        return indices, packed[length:]
    _expect(0 <= r <= d.bit_length())
    gaps, packed = read_rice(packed, k, r, k + (d >> r))  # the quotients cannot sum to more than d >> r
    indices = np.cumsum(gaps + 1) - 1
    _expect(k == 0 or 0 <= indices[-1] < d)
    return indices, packed


def rice(numbers: Indices, r: int) -> Bytes:
    """Non-negative numbers: the r low bits of all and, from a new byte on, the quotients, each as zeros and a one."""
    if use_compiled(numbers.nbytes):
        from algorithms.compressors.loops.sparsifying import write_rice

        low = np.zeros(_bytes(len(numbers) * r), np.uint8)
        unary = np.zeros(_bytes(len(numbers) + int((numbers >> r).sum())), np.uint8)
        write_rice(numbers, r, low, unary)
        return np.concatenate([low, unary])
    ends = np.cumsum((numbers >> r) + 1)
    ones = np.zeros(ends[-1] if len(ends) else 0, np.uint8)
    ones[ends - 1] = 1
    return np.concatenate([_packed(((numbers[:, None] >> np.arange(r)) & 1).astype(np.uint8)), _packed(ones)])


def read_rice(packed: Bytes, k: int, r: int, most: int) -> tuple[Indices, Bytes]:
    """(the k numbers that `packed` begins with, the bytes that follow).

    Args:
        most: Bits that their quotients take at most.

    Raises:
        ValueError: if it does not begin with such numbers.
    """
    length = _bytes(k * r)
    _expect(len(packed) >= length)
    low, packed = packed[:length], packed[length:]
    unary, numbers = packed[: _bytes(most)], np.empty(k, np.int64)
    if use_compiled(numbers.nbytes):
        from algorithms.compressors.loops.sparsifying import read_rice

        end = read_rice(low, unary, r, numbers)
        _expect(end >= 0)
    else:
        ends = np.flatnonzero(_unpacked(unary))[:k]
        _expect(len(ends) == k)
        bits = _unpacked(low, k * r).reshape(k, r).astype(np.int64)
        numbers[:] = (_gaps(ends) << r) + (bits << np.arange(r)).sum(axis=1)
        end = int(ends[-1]) + 1 if k else 0
    return numbers, packed[_bytes(end) :]


def entropy(k: float, d: int) -> float:
    """log2 of the number of k-subsets of d: the bits that their indices take at least, on average."""
    return (math.lgamma(d + 1) - math.lgamma(k + 1) - math.lgamma(d - k + 1)) / math.log(2)


def _parameter(gaps: Indices, d: int) -> int | None:
    """r with the shortest code; None if a bitmap is shorter."""
    k = len(gaps)
    about = round(math.log2(max(1.0, math.log(2) * d / max(k, 1))))
    tried = range(max(0, about - 2), about + 3)
    quotients = (gaps >> np.array(tried)[:, None]).sum(axis=1).tolist()
    length, shortest = min((_bytes(k * r) + _bytes(k + total), r) for r, total in zip(tried, quotients, strict=True))
    return None if _bytes(d) < length else shortest


def _gaps(ascending: Indices) -> Indices:
    """How many numbers lie between each of these and the one before it."""
    gaps = ascending.copy()
    gaps[1:] -= ascending[:-1] + 1
    return gaps


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _byte(value: int) -> Bytes:
    return np.array([value], np.uint8)


def _packed(bits: NDArray[np.uint8]) -> Bytes:
    return np.packbits(bits, bitorder="little")


def _unpacked(packed: Bytes, count: int | None = None) -> NDArray[np.uint8]:
    return np.unpackbits(packed, count=count, bitorder="little")


def _expect(valid: bool | np.bool_) -> None:
    if not valid:
        raise ValueError("the indices of a sparse message are damaged")
