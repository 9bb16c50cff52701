"""What a compressor makes of a stack, and its form on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.randomness import Draw

Bytes = NDArray[np.uint8]

HEADER_BYTES = 8  # the length of the payload as a little-endian uint64, so that rows can follow each other


class Message:
    """A compressed stack: one row per local node.

    On the wire a row is a header of `HEADER_BYTES` and a payload of ceil(bits / 8) bytes. A subclass says
    what the payload is; everything else about travelling is here.
    """

    @property
    def bits(self) -> Tensor:
        """(k,) int64: exact size of each row's payload in bits."""
        raise NotImplementedError

    def dense(self) -> Tensor:
        """(k, d): exactly what every receiver decodes, which the sender must use as well."""
        raise NotImplementedError

    def payload(self, row: int) -> Bytes:
        """One row's payload, ceil(bits / 8) bytes."""
        raise NotImplementedError

    def decode(self, payloads: Sequence[Bytes]) -> Tensor:
        """(len(payloads), d): rows that other nodes packed with the same operator and the same dimension d.

        Raises:
            ValueError: if a payload cannot be one of these.
        """
        raise NotImplementedError

    @property
    def nbytes(self) -> Tensor:
        """(k,) int64: bytes of each row on the wire, header included."""
        return (self.bits + 7) // 8 + HEADER_BYTES

    def pack(self, row: int) -> Bytes:
        """One row as it travels: header and payload."""
        payload = self.payload(row)
        header = np.frombuffer(len(payload).to_bytes(HEADER_BYTES, "little"), np.uint8)
        return np.concatenate([header, payload])

    def unpack(self, buffer: Bytes) -> Tensor:
        """(rows, d): decode packed rows that follow each other in `buffer`.

        Raises:
            ValueError: if the buffer does not hold a whole number of rows.
        """
        payloads = []
        position = 0
        while position < len(buffer):
            start = position + HEADER_BYTES
            position = start + int.from_bytes(buffer[position:start].tobytes(), "little")
            if position > len(buffer):
                raise ValueError(f"{type(self).__name__}: truncated message of {len(buffer)} bytes")
            payloads.append(buffer[start:position])
        if not payloads:
            raise ValueError(f"{type(self).__name__}: empty message")
        return self.decode(payloads)

    def check_sizes(self, payloads: Sequence[Bytes]) -> None:
        """For messages whose rows all have the same size: refuse payloads of another."""
        expected = (int(self.bits[0]) + 7) // 8
        for payload in payloads:
            if len(payload) != expected:
                raise ValueError(f"{type(self).__name__}: payload of {len(payload)} bytes instead of {expected}")


@dataclass(frozen=True)
class Compressor:
    """Compresses a stack row by row. Its fields are its parameters."""

    def compress(self, x: Tensor, draw: Draw) -> Message:
        """x (k, d) -> a message of k rows; `draw` gives the random stream of each row."""
        raise NotImplementedError

    def check_dimension(self, d: int) -> None:
        """Raise ValueError if vectors of d numbers cannot be compressed; asked once, at the start of a run."""
