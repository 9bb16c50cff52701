"""What a compressor makes of a stack, and what travels of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from algorithms.compressors.wire import frames
from algorithms.compressors.wire.frames import Bytes
from algorithms.numerics.compiled import parts_of
from algorithms.state import Rows


class Decoder(Protocol):
    """What a message asks of the operator that made it; `Compressor` says what each of these does."""

    def __hash__(self) -> int: ...

    def decode(self, payload: Tensor, out: Tensor) -> None: ...

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None: ...

    def paper_bits(self, d: int, itemsize: int) -> float: ...

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float: ...


@dataclass(frozen=True, eq=False)
class Message:
    """A compressed stack: one packed row per local node, which is what travels. A row may be silent, which is 0.

    The sender uses what it would decode itself, so that all who know a row know the same.

    Args:
        compressor: The operator that packed the rows.
        d: Entries of a decoded row.
        dtype: Type of the decoded rows.
        device: Where decoded rows belong.
        packed: The k rows as they travel, of bytes.
    """

    compressor: Decoder
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

    @property
    def paper_bits(self) -> float:
        """Bits of a row by the paper's formula; an average where the number varies."""
        return self.compressor.paper_bits(self.d, working_precision(self.dtype).itemsize)

    @cached_property
    def entropy_bits(self) -> Tensor:
        """(k,) float64: bits of each row with an ideal code for its symbols and indices; 1 of a silent one."""
        itemsize = working_precision(self.dtype).itemsize

        def entropy_bits(packed: Bytes) -> float:
            if frames.is_silent(packed):
                return 1.0
            return self.compressor.entropy_bits(frames.unseal(packed, self._kind, self._owner), self.d, itemsize)

        return torch.tensor([entropy_bits(row.numpy()) for row in self.packed]).double()

    def pack(self, row: int) -> Bytes:
        """One row as it travels."""
        return self.packed[row].numpy()

    def dense(self) -> Tensor:
        """(k, d): exactly what every receiver decodes. Not to be changed.

        Raises:
            ValueError: if a row that came from another node is anything else than a row of such a message.
        """
        return self._dense

    def of(self, packed: Sequence[Bytes]) -> Message:
        """What other nodes sent who packed these rows with the same operator, from vectors of the same kind."""
        return replace(self, packed=tuple(torch.from_numpy(row) for row in packed))

    def among(self, rows: Rows, k: int) -> Message:
        """The same as of k local nodes, of which these rows, ascending, have what is packed; the others are silent."""
        packed = [frames.SILENT] * k
        for row, each in zip(range(k)[rows] if isinstance(rows, slice) else rows, self.packed, strict=True):
            packed[row] = each
        return replace(self, packed=tuple(packed))

    def received(self, buffer: Bytes, rows: int | None = None) -> Message:
        """What other nodes sent, so many if it is known, whose packed rows follow each other in `buffer`.

        Raises:
            ValueError: if it does not hold a whole number of packed rows, or another one than expected.
        """
        return self.of(frames.split(buffer, self._owner, rows))

    def unpack(self, buffer: Bytes) -> Tensor:
        """(rows, d): decode packed rows of other nodes, which follow each other in `buffer`.

        Raises:
            ValueError: if it does not hold a whole number of rows of such a message.
        """
        return self.received(buffer).dense()

    def add(self, stack: Tensor) -> None:
        """stack += `dense()`, (k, d). A single row is added as it is decoded; several are also decoded to be mixed.

        The stack is one of sums that began with 0, in which no zero is negative: what adds nothing may be left out.
        """
        if len(self.packed) > 1 or stack.dtype != working_precision(self.dtype):
            stack += self.dense()
        else:
            self._decode(self.packed[0].numpy(), stack[0], 1.0)

    def add_to(self, out: Tensor, packed: Bytes, weight: float) -> None:
        """out += weight * (the row that another node packed), (d,), each entry's product and sum rounded by itself.

        Args:
            out: In the precision of the decoded rows: double for a stack in double precision, else single.

        Raises:
            ValueError: if this is no row of such a message.
        """
        self._decode(packed, out, weight)

    def _decode(self, packed: Bytes, out: Tensor, weight: float | None) -> None:
        if frames.is_silent(packed):
            if weight is None:
                out.zero_()
            return
        payload = frames.unseal(packed, self._kind, self._owner)
        try:
            with parts_of(out.nbytes):
                if weight is None:
                    self.compressor.decode(payload, out)
                else:
                    self.compressor.accumulate(payload, weight, out)
        except ValueError as error:
            raise ValueError(f"{self._owner}: {error}") from None

    @cached_property
    def _dense(self) -> Tensor:
        rows = torch.empty(len(self.packed), self.d, dtype=working_precision(self.dtype), device=self.device)
        with parts_of(rows.nbytes):
            for row, out in zip(self.packed, rows, strict=True):
                self._decode(row.numpy(), out, None)
        return rows.to(self.dtype)

    @cached_property
    def _kind(self) -> int:
        return frames.fingerprint(self.compressor, self.d, self.dtype)

    @property
    def _owner(self) -> str:
        return type(self.compressor).__name__


def dense(value: Tensor | Message) -> Tensor:
    """(k, d): what receivers get of a stack, or decode of a message; not to be changed."""
    return value.dense() if isinstance(value, Message) else value


def working_precision(dtype: torch.dtype) -> torch.dtype:
    """In which vectors of this type are compressed: double for double precision, else single."""
    return torch.float64 if dtype == torch.float64 else torch.float32
