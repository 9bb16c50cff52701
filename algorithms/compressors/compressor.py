"""What a compressor makes of a stack, and what every compressor has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors.wire import frames
from algorithms.compressors.wire.frames import Bytes
from algorithms.layout import Layout, parts_for_layout
from algorithms.numerics.compiled import parts_of
from algorithms.randomness import Draw, Key


class B1(NamedTuple):
    """alpha |x|^2 <= E|C(x)|^2 <= beta <E C(x), x>."""

    alpha: float
    beta: float


class B2(NamedTuple):
    """max(gamma |x|^2, E|C(x)|^2 / beta) <= <E C(x), x>."""

    gamma: float
    beta: float


class B3(NamedTuple):
    """E|scale C(x) - x|^2 <= (1 - 1 / delta) |x|^2."""

    delta: float
    scale: float


@dataclass(frozen=True, eq=False)
class Message:
    """A compressed stack: one packed row per local node, which is what travels. A row may be silent, which is 0.

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

    @property
    def paper_bits(self) -> float:
        """Bits of a row by the paper's formula; an average where the number varies."""
        return self.compressor.paper_bits(self.d, _precision(self.dtype).itemsize)

    @cached_property
    def entropy_bits(self) -> Tensor:
        """(k,) float64: bits of each row with an ideal code for its symbols and indices; 1 of a silent one."""
        itemsize = _precision(self.dtype).itemsize

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
        if len(self.packed) > 1 or stack.dtype != _precision(self.dtype):
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
        rows = torch.empty(len(self.packed), self.d, dtype=_precision(self.dtype), device=self.device)
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


@dataclass(frozen=True)
class Compressor:
    """Compresses vectors. Its fields are its parameters.

    Attributes:
        random: Whether it draws.
        on_device: Whether it works on vectors where they lie; others are copied to the CPU first.
        checks: Whether `encode` itself refuses what is not finite, on its way, so that nobody needs to look before.
        biased: Whether E C(x) may differ from x.
    """

    random: ClassVar[bool] = False
    on_device: ClassVar[bool] = False
    checks: ClassVar[bool] = False

    @property
    def biased(self) -> bool:
        return True

    def compress(self, x: Tensor, draw: Draw, sent: Tensor | None = None) -> Message:
        """A stack x (k, d), row by row.

        Args:
            x: What to compress.
            draw: The random streams.
            sent: (k,) bool, the rows that are sent, all by default. The others are silent: a flag of one byte, which
                stands for 0.

        Raises:
            NonFiniteError: if it holds NaN or infinity.
        """
        rows = x.detach().to(x.device if self.on_device else "cpu", _precision(x.dtype)).contiguous()
        if not self.checks and rows.numel() and not all(bool(each.isfinite()) for each in torch.aminmax(rows)):
            raise NonFiniteError(f"{type(self).__name__}: the vector to compress holds NaN or infinity")
        kind = frames.fingerprint(self, x.shape[1], x.dtype)
        silent = torch.zeros(len(x), dtype=torch.bool) if sent is None else ~sent
        with parts_of(rows.nbytes):
            packed = tuple(
                frames.SILENT if skipped else frames.seal(self.encode(row, draw.key(i)), kind)
                for i, (row, skipped) in enumerate(zip(rows, silent.tolist(), strict=True))
            )
        return Message(self, x.shape[1], x.dtype, x.device, packed)

    def encode(self, x: Tensor, key: Key) -> Tensor:
        """The payload, as bytes, of one finite vector x (d,) in single or double precision, contiguous.

        All that is random in it is drawn from the key.
        """
        raise NotImplementedError

    def decode(self, payload: Tensor, out: Tensor) -> None:
        """Write the vector that a payload stands for to all of `out` (d,).

        Raises:
            ValueError: if it stands for none.
        """
        raise NotImplementedError

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        """out += weight * (the vector that a payload stands for), products and sums rounded one by one."""
        decoded = torch.empty_like(out)
        self.decode(payload, decoded)
        out += weight * decoded

    def for_layout(self, layout: Layout) -> Self:
        """This operator for vectors that hold these tensors; most do not care."""
        return parts_for_layout(self, layout)

    def check_dimension(self, d: int) -> None:
        """Raise ValueError if vectors of d numbers cannot be compressed; asked once, at the start of a run."""

    def omega(self, d: int) -> float:
        """The least known omega with E|C(x) - x|^2 <= omega |x|^2 for an unbiased operator; infinite if none."""
        return math.inf

    def alpha(self, d: int) -> float:
        """The largest known alpha with E|C(x) - x|^2 <= (1 - alpha) |x|^2, in (0, 1]; 0 if there is none."""
        return max(0.0, 1 - self.omega(d))

    # The classes of Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning",
    # arXiv 2002.12410, with what follows from `omega` and `alpha` unless an operator knows better.

    def b1(self, d: int) -> B1 | None:
        """The constants of the first class of biased operators, None if not known to be one."""
        if math.isfinite(self.omega(d)):
            return B1(1, 1 + self.omega(d))
        return B1(self.alpha(d) ** 2 / 4, 2) if self.alpha(d) else None

    def b2(self, d: int) -> B2 | None:
        """The constants of the second class, None if not known to be one."""
        if math.isfinite(self.omega(d)):
            return B2(1, 1 + self.omega(d))
        return B2(self.alpha(d) / 2, 2) if self.alpha(d) else None

    def b3(self, d: int) -> B3 | None:
        """The constants of the third class, contractions, with the scale that gives the least delta; None if none."""
        if math.isfinite(self.omega(d)):
            return B3(1 + self.omega(d), 1 / (1 + self.omega(d)))
        return B3(1 / self.alpha(d), 1) if self.alpha(d) else None

    def paper_bits(self, d: int, itemsize: int) -> float:
        """Bits of a vector of d numbers by the paper's formula, where numbers take 8 itemsize bits."""
        raise NotImplementedError

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        """Bits of the vector in a payload with an ideal code for its symbols and indices."""
        return self.paper_bits(d, itemsize)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        """The length of every payload of d numbers of so many bytes; None if it varies."""
        return None

    def check_length(self, payload: Tensor, length: int) -> None:
        """Raise ValueError unless a payload has this length."""
        if len(payload) != length:
            raise ValueError(f"a payload of {len(payload)} bytes instead of {length}")

    def check_finite(self, result: Tensor) -> None:
        """Raise NonFiniteError if numbers made from a finite vector have overflowed."""
        if not result.isfinite().all():
            raise NonFiniteError(f"{type(self).__name__}: what the vector becomes is beyond its precision")


def _precision(dtype: torch.dtype) -> torch.dtype:
    """In which vectors of a type are compressed."""
    return torch.float64 if dtype == torch.float64 else torch.float32
