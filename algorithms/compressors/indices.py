"""Sets of indices on the wire: Rice-coded gaps, or a bitmap where many are set.

The gaps between k of d ascending indices are close to geometric, for which a Rice code of parameter r (the quotient
gap >> r in unary, r low bits as they are) comes within 1 to 2 % of the entropy (Golomb 1966; Rice 1979).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from algorithms.compressors.wire import Bytes

Indices = NDArray[np.int64]

BITMAP = 255  # in the place of r


def encode(indices: Indices, d: int) -> Bytes:
    """Ascending, distinct indices below d.

    One byte with the parameter r or `BITMAP`; then the r low bits of all gaps, lowest bit first, and the quotients,
    each as so many zeros and a one; or one bit for each of the d.
    """
    gaps = np.diff(indices, prepend=-1) - 1
    r = _parameter(gaps, d)
    if r is None:
        bits = np.zeros(d, np.uint8)
        bits[indices] = 1
        return _section(BITMAP, bits)
    return np.concatenate([np.array([r], np.uint8), rice(gaps, r)])


def decode(packed: Bytes, k: int, d: int) -> tuple[Indices, Bytes]:
    """(the k indices below d that `packed` begins with, the bytes that follow).

    Raises:
        ValueError: if it does not begin with such indices.
    """
    r, packed = int(packed[0]) if len(packed) else -1, packed[1:]
    if r == BITMAP:
        length = -(-d // 8)
        _expect(len(packed) >= length)
        indices = np.flatnonzero(np.unpackbits(packed[:length], count=d))
        _expect(len(indices) == k)
        return indices, packed[length:]
    _expect(0 <= r <= d.bit_length())
    gaps, packed = read_rice(packed, k, r, k + (d >> r))  # the quotients cannot sum to more than d >> r
    indices = np.cumsum(gaps + 1) - 1
    _expect(k == 0 or 0 <= indices[-1] < d)
    return indices, packed


def rice(numbers: Indices, r: int) -> Bytes:
    """Non-negative numbers: the r low bits of all, lowest bit first, and the quotients, each as zeros and a one."""
    ends = np.cumsum((numbers >> r) + 1)
    unary = np.zeros(ends[-1] if len(ends) else 0, np.uint8)
    unary[ends - 1] = 1
    low = ((numbers[:, None] >> np.arange(r)) & 1).astype(np.uint8)
    return np.concatenate([np.packbits(low), np.packbits(unary)])


def read_rice(packed: Bytes, k: int, r: int, most: int) -> tuple[Indices, Bytes]:
    """(the k numbers that `packed` begins with, the bytes that follow).

    Args:
        most: Bits that their quotients take at most.

    Raises:
        ValueError: if it does not begin with such numbers.
    """
    length = -(-k * r // 8)
    _expect(len(packed) >= length)
    low = np.unpackbits(packed[:length], count=k * r).reshape(k, r).astype(np.int64)
    packed = packed[length:]
    ends = np.flatnonzero(np.unpackbits(packed[: -(-most // 8)]))[:k]
    _expect(len(ends) == k)
    numbers = (np.diff(ends, prepend=-1) - 1 << r) + (low << np.arange(r)).sum(axis=1)
    return numbers, packed[ends[-1] // 8 + 1 if k else 0 :]


def entropy(k: float, d: int) -> float:
    """log2 of the number of k-subsets of d: the bits that their indices take at least, on average."""
    return (math.lgamma(d + 1) - math.lgamma(k + 1) - math.lgamma(d - k + 1)) / math.log(2)


def _parameter(gaps: Indices, d: int) -> int | None:
    """r with the shortest code; None if a bitmap is shorter."""
    k = len(gaps)
    about = round(math.log2(max(1.0, math.log(2) * d / max(k, 1))))
    lengths = {r: k * (r + 1) + int((gaps >> r).sum()) for r in range(max(0, about - 2), about + 3)}
    shortest = min(lengths, key=lengths.__getitem__)
    return None if d < lengths[shortest] else shortest


def _section(first: int, bits: NDArray[np.uint8]) -> Bytes:
    return np.concatenate([np.array([first], np.uint8), np.packbits(bits)])


def _expect(valid: bool | np.bool_) -> None:
    if not valid:
        raise ValueError("the indices of a sparse message are damaged")
