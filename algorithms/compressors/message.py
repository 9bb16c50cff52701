"""What a compressor makes of a stack, and what every compressor has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors import wire
from algorithms.compressors.wire import Bytes
from algorithms.randomness import Draw

Vector = NDArray[Any]
"""(d,) in single or double precision, contiguous."""


@dataclass(frozen=True, eq=False)
class Message:
    """A compressed stack: one packed row per local node, which is what travels.

    The sender uses what it would decode itself, so that all who know a row know the same.

    Args:
        compressor: What packed the rows.
        d: Entries of a row,
        dtype: their precision,
        device: and where decoded ones belong.
        packed: (k) rows of bytes.
    """

    compressor: Compressor
    d: int
    dtype: torch.dtype
    device: torch.device
    packed: tuple[Tensor, ...]

    @cached_property
    def nbytes(self) -> Tensor:
        """(k,) int64: bytes of each row on the wire, header included."""
        return torch.tensor([len(row) for row in self.packed])

    @property
    def bits(self) -> Tensor:
        """(k,) int64: bits of each row on the wire."""
        return 8 * self.nbytes

    def pack(self, row: int) -> Bytes:
        """One row as it travels."""
        return self.packed[row].numpy()

    def dense(self) -> Tensor:
        """(k, d): exactly what every receiver decodes. Not to be changed."""
        return self._dense

    def unpack(self, buffer: Bytes) -> Tensor:
        """(rows, d): decode packed rows of other nodes, which follow each other in `buffer`.

        Raises:
            ValueError: if it does not hold a whole number of rows of such a message.
        """
        return self.decode(wire.split(buffer, self._owner))

    def decode(self, packed: Sequence[Bytes]) -> Tensor:
        """(len(packed), d): rows that other nodes packed with the same operator for the same dimension.

        Raises:
            ValueError: if one of them is anything else.
        """
        rows = np.empty((len(packed), self.d), _numpy_type(self.dtype))
        for row, out in zip(packed, rows, strict=True):
            self.compressor.decode(wire.unseal(row, self._kind, self._owner), out)
        return torch.from_numpy(rows).to(self.device, self.dtype)

    @cached_property
    def _dense(self) -> Tensor:
        return self.decode([row.numpy() for row in self.packed])

    @cached_property
    def _kind(self) -> int:
        return _kind(self.compressor, self.d, self.dtype)

    @property
    def _owner(self) -> str:
        return type(self.compressor).__name__


@dataclass(frozen=True)
class Compressor:
    """Compresses vectors. Its fields are its parameters.

    Attributes:
        random: Whether it draws.
        biased: Whether E C(x) may differ from x.
    """

    random: ClassVar[bool] = False

    @property
    def biased(self) -> bool:
        return True

    def compress(self, x: Tensor, draw: Draw) -> Message:
        """A stack x (k, d), row by row.

        Raises:
            NonFiniteError: if it holds NaN or infinity.
        """
        rows = x.detach().cpu().to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
        if rows.numel() and not all(bool(each.isfinite()) for each in torch.aminmax(rows)):
            raise NonFiniteError(f"{type(self).__name__}: the vector to compress holds NaN or infinity")
        kind = _kind(self, x.shape[1], x.dtype)
        payloads = [self.encode(row, draw.key(i) if self.random else 0) for i, row in enumerate(rows.numpy())]
        packed = tuple(torch.from_numpy(wire.seal(payload, kind)) for payload in payloads)
        return Message(self, x.shape[1], x.dtype, x.device, packed)

    def encode(self, x: Vector, key: int) -> Bytes:
        """The payload of one finite vector (d,); all that is random in it is drawn from the 64-bit `key`."""
        raise NotImplementedError

    def decode(self, payload: Bytes, out: Vector) -> None:
        """Write the vector that a payload stands for to all of `out` (d,).

        Raises:
            ValueError: if it stands for none.
        """
        raise NotImplementedError

    def check_dimension(self, d: int) -> None:
        """Raise ValueError if vectors of d numbers cannot be compressed; asked once, at the start of a run."""

    def omega(self, d: int) -> float:
        """The least known omega with E|C(x) - x|^2 <= omega |x|^2 for an unbiased operator; infinite if none."""
        return math.inf

    def alpha(self, d: int) -> float:
        """The largest known alpha with E|C(x) - x|^2 <= (1 - alpha) |x|^2, in (0, 1]; 0 if there is none."""
        return max(0.0, 1 - self.omega(d))

    def paper_bits(self, d: int, itemsize: int) -> float:
        """Bits of a vector of d numbers by the paper's formula, where numbers take 8 itemsize bits."""
        raise NotImplementedError

    def check_length(self, payload: Bytes, length: int) -> None:
        """Raise ValueError unless a payload has this length."""
        if len(payload) != length:
            raise ValueError(f"{type(self).__name__}: payload of {len(payload)} bytes instead of {length}")


def stream(key: int) -> np.random.Generator:
    """The random numbers that follow from 64 bits."""
    return np.random.Generator(np.random.Philox(key=key))


def _kind(compressor: Compressor, d: int, dtype: torch.dtype) -> int:
    return wire.fingerprint(compressor, d, dtype)


def _numpy_type(dtype: torch.dtype) -> type[np.floating]:
    return np.float64 if dtype == torch.float64 else np.float32
