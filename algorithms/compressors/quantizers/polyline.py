"""Encoded polylines: decimal fixed-point numbers as printable characters, few for small ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import NonFiniteError, check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from algorithms.state import Block

FIRST = 63  # the character of the group 0, "?"
MORE = 0x20  # set in all groups of a number but its last
LARGEST = 1 << 61  # of rounded numbers, so that differences of two of them, doubled, are 64-bit numbers
GROUPS = 13  # at most, of 64 bits

Integers = NDArray[np.int64]
Groups = NDArray[np.uint64]


@dataclass(frozen=True)
class Polyline(Compressor):
    r"""C(x) = 10^-p times 10^p x rounded to whole numbers, halves away from 0; in the format of encoded polylines.

    Google's encoded polyline algorithm, which FedAT sends models in: Chai, Chen, Anwar, Zhao, Cheng, Rangwala, "FedAT:
    A High-Performance and Communication-Efficient Federated Learning System with Asynchronous Tiers", SC 2021, arXiv
    2010.05958.

    Of each whole number, or with `delta` of each one's difference from the one before, twice the number is sent if it
    is not negative, the bitwise complement of that if it is: 5 bits a character, the lowest first, plus 32 in all but
    the last one, plus 63, which is printable. So one entry takes 8 max(1, ceil(b / 5)) bits for a number of b bits. No
    entry is wrong by more than 10^-p / 2, and by rounding to the precision of x; so small vectors become 0, and it is
    no contraction: of models it keeps p decimals, of their differences maybe nothing.

    Whether FedAT sends differences is not known. Those of independent weights are larger than the weights: with
    N(0, 0.05^2) and p = 4 an entry takes 2.45 characters with `delta` and 2.28 without. The ideal code that is counted
    is one for the characters.

        >>> import torch
        >>> from algorithms.randomness import Key
        >>> x = torch.tensor([0.1234, -0.0567, 0.0], dtype=torch.float64)
        >>> for delta in (False, True):
        ...     print(bytes(Polyline(delta=delta).encode(x, Key(0, 0, 0))).decode())
        clAlb@?
        clApoBmb@

    Args:
        precision: p, how many decimals are kept, from 0 to 15; FedAT has 3 to 6.
        delta: Send differences, as of the points of a line.

    Raises:
        NonFiniteError: for entries beyond 2^61 / 10^p.
    """

    precision: int = 4
    delta: bool = False

    def __post_init__(self) -> None:
        check(0 <= self.precision <= 15, self, "precision", "from 0 to 15")

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        scaled = x.double().numpy() * 10.0**self.precision
        if not (np.abs(scaled) <= LARGEST).all():
            raise NonFiniteError(f"Polyline: the vector to compress holds a number beyond {self._bound:.3g}")
        whole = np.trunc(scaled)
        whole += np.where(np.abs(scaled - whole) >= 0.5, np.sign(scaled), 0.0)
        numbers = whole.astype(np.int64)
        return torch.from_numpy(_packed(np.diff(numbers, prepend=0) if self.delta else numbers))

    def decode(self, payload: Tensor, out: Tensor) -> None:
        numbers = _unpacked(payload.numpy(), len(out))
        if self.delta:
            numbers = np.cumsum(numbers)  # wraps around only after a sum that is refused
        if not ((numbers >= -LARGEST) & (numbers <= LARGEST)).all():
            raise ValueError(f"a payload with a number beyond {self._bound:.3g}")
        out[:] = torch.from_numpy(numbers / 10.0**self.precision)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        return symbols.entropy(payload.long(), 256)

    @property
    def _bound(self) -> float:
        """The largest magnitude that is sent."""
        return float(LARGEST / 10.0**self.precision)


def _packed(numbers: Integers) -> NDArray[np.uint8]:
    """The characters of some numbers, of at most 62 bits and a sign."""
    rest = (numbers << 1 ^ numbers >> 63).view(np.uint64)
    longest = max(1, -(-int(rest.max(initial=0)).bit_length() // 5))
    characters = np.empty((len(rest), longest), np.uint8)
    sent = np.ones((len(rest), longest), bool)
    for group in range(longest):
        characters[:, group] = (rest & np.uint64(31)) + np.uint64(FIRST)
        rest = rest >> np.uint64(5)
        more = rest > 0
        characters[:, group] += np.uint8(MORE) * more
        sent[:, group + 1 :] = more[:, None]
    return characters[sent]


def _unpacked(packed: NDArray[np.uint8], count: int) -> Integers:
    """(count,) the numbers that some characters stand for.

    Raises:
        ValueError: They stand for no such numbers.
    """
    groups = packed - np.uint8(FIRST)  # smaller characters become large ones
    ends = np.flatnonzero(groups < MORE)
    if groups.max(initial=0) >= 2 * MORE or len(ends) != count or (count and ends[-1] != len(packed) - 1):
        raise ValueError(f"characters that are not an encoded polyline of {count} numbers")
    starts = np.concatenate([[0], ends[:-1] + 1]) if count else ends
    counts, highest = ends - starts + 1, groups[ends]
    if (counts > GROUPS).any() or ((counts > 1) & (highest == 0)).any() or ((counts == GROUPS) & (highest > 15)).any():
        raise ValueError("a number that is longer than it needs to be, or than 64 bits")
    doubled = highest.astype(np.uint64)
    for group in range(1, int(counts.max(initial=0))):
        at = ends - group
        lower = doubled << np.uint64(5) | groups[np.maximum(at, 0)] & np.uint8(31)
        doubled = np.where(at >= starts, lower, doubled)
    return (doubled >> np.uint64(1)).view(np.int64) ^ -(doubled & np.uint64(1)).view(np.int64)
