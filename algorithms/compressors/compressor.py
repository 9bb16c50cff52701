"""The contract of a compression operator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors.message import Message, working_precision
from algorithms.compressors.remembering import row_memory
from algorithms.compressors.theory import B1, B2, B3, b1_from, b2_from, b3_from
from algorithms.compressors.wire import frames
from algorithms.layout import Layout, parts_for_layout
from algorithms.numerics.compiled import parts_of
from algorithms.randomness import Draw, Key
from algorithms.state import Block
from algorithms.watching import span


@dataclass(frozen=True)
class Compressor:
    """An operator C that compresses vectors. Its fields are its parameters; what it remembers is the user's to keep.

    A new operator needs `encode` and `decode`, and, for methods that ask, what is known of its error: `alpha` if it is
    a contraction; if it is unbiased, `biased` = False and `omega`. `paper_bits` has the bits by a paper's formula.

    An operator that remembers something from one vector to the next has `start` as well. Whoever uses it keeps what
    that gives, a block of state for each stack that is compressed round after round, and hands it to every `compress`,
    which changes it in place. What is sent is decoded without it: all that receivers must know is in the message.
    """

    random: ClassVar[bool] = False
    """Whether it draws."""
    on_device: ClassVar[bool] = False
    """Whether it works on vectors where they lie; those of others are copied to the CPU first."""
    checks: ClassVar[bool] = False
    """Whether `encode` itself refuses what is not finite, on its way, so that nobody needs to look before."""

    @property
    def level(self) -> tuple[bool, ...] | None:
        """What a method changes of it from round to round, as `Accordion` does; None where there is nothing."""
        return None

    def at_level(self, level: tuple[bool, ...] | None) -> Self:
        """This operator at another level, of those that have one."""
        return self

    @property
    def biased(self) -> bool:
        """Whether E C(x) may differ from x."""
        return True

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        """What the operator remembers of a stack of k vectors, before the first; None if it does not remember.

        Args:
            layout: Of the vectors. What follows the tensors of a model takes them from `for_layout`, as in `compress`.
            k: Rows of the stack, one for each local node. A tensor of the block has a row for each, a list an item;
                numbers and texts are common to all rows.
            dtype: Of the vectors.
        """
        return None

    def start_like(self, x: Tensor) -> Block | None:
        """`start` for stacks like this one, (k, d)."""
        return self.start(Layout.vector(x.shape[1]), len(x), dtype=x.dtype)

    def compress(self, x: Tensor, draw: Draw, memory: Block | None = None, *, sent: Tensor | None = None) -> Message:
        """A stack x (k, d), row by row.

        Args:
            x: What to compress.
            draw: The random streams.
            memory: What `start` gave, which is brought up to date in place; None to compress each vector by itself.
            sent: (k,) bool, the rows that are sent, all by default. The others are silent: a flag of one byte, which
                stands for 0. Nothing is remembered of them.

        Raises:
            NonFiniteError: if it holds NaN or infinity.
        """
        rows = self.working_rows(x, checked=not self.checks)
        kind = frames.fingerprint(self, x.shape[1], x.dtype)
        silent = torch.zeros(len(x), dtype=torch.bool) if sent is None else ~sent
        with span(f"compress with {type(self).__name__}", "compress"), parts_of(rows.nbytes):
            packed = tuple(
                frames.SILENT if skipped else frames.seal(self.encoded(row, draw.key(i), row_memory(memory, i)), kind)
                for i, (row, skipped) in enumerate(zip(rows, silent.tolist(), strict=True))
            )
        return Message(self, x.shape[1], x.dtype, x.device, packed)

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        """The payload of one finite vector x (d,) in single or double precision, contiguous: a uint8 tensor (bytes,).

        All that is random in it is drawn from the key. A class of one's own may give `bytes` instead, and leave out
        `memory` if it remembers nothing. `encoded` is what others call.

        Args:
            x: The vector.
            key: What draws follow from.
            memory: The part of `start`'s block that belongs to this row: its tensors without their first dimension,
                to be changed in place. None if nothing is remembered, or nobody keeps it.
        """
        raise NotImplementedError

    def encoded(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        """What `encode` gives, as a uint8 tensor.

        Raises:
            TypeError: if it gives neither such a tensor nor bytes.
        """
        payload: object = self.encode(x, key) if memory is None else self.encode(x, key, memory)
        if isinstance(payload, bytes | bytearray):
            return frames.from_buffer(payload)
        if not isinstance(payload, Tensor) or payload.dtype != torch.uint8 or payload.ndim != 1:
            given = f"a tensor of {payload.dtype}" if isinstance(payload, Tensor) else f"a {type(payload).__name__}"
            shape = f", {tuple(payload.shape)}" if isinstance(payload, Tensor) else ""
            raise TypeError(
                f"{type(self).__name__}.encode gives {given}{shape}; it must give bytes or a uint8 tensor (bytes,), as "
                f"x.numpy().tobytes() or frames.as_bytes(x) do"
            )
        return payload

    def decode(self, payload: Tensor, out: Tensor) -> None:
        """Write the vector that a payload, a uint8 tensor (bytes,), stands for to all of `out` (d,).

        Raises:
            ValueError: if it stands for none: all that is read is checked, also that numbers are finite
                (`frames.finite`), so that a damaged message never becomes a wrong vector.
        """
        raise NotImplementedError

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        """out += weight * (the vector that a payload stands for), products and sums rounded one by one."""
        decoded = torch.empty_like(out)
        self.decode(payload, decoded)
        out += weight * decoded

    def working_rows(self, x: Tensor, checked: bool = True) -> Tensor:
        """A stack (k, d) where and in which precision it is compressed, contiguous.

        Raises:
            NonFiniteError: if it is checked and holds NaN or infinity.
        """
        rows = x.detach().to(x.device if self.on_device else "cpu", working_precision(x.dtype)).contiguous()
        if checked and rows.numel() and not all(bool(each.isfinite()) for each in torch.aminmax(rows)):
            raise NonFiniteError(f"{type(self).__name__}: the vector to compress holds NaN or infinity")
        return rows

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

    def alpha_of_largest(self, k: int, d: int) -> float:
        """The largest known alpha of what takes d numbers to C of the k of largest magnitude, and the others to 0."""
        return self.alpha(k) * k / d

    def b1(self, d: int) -> B1 | None:
        """The constants of the first class of biased operators (see `theory`); None if not known to be one."""
        return b1_from(self.omega(d), self.alpha(d))

    def b2(self, d: int) -> B2 | None:
        """The constants of the second class; None if not known to be one."""
        return b2_from(self.omega(d), self.alpha(d))

    def b3(self, d: int) -> B3 | None:
        """The constants of the third class, contractions, with the scale that gives the least delta; None if none."""
        return b3_from(self.omega(d), self.alpha(d))

    def paper_bits(self, d: int, itemsize: int) -> float:
        """Bits of a vector of d numbers by the paper's formula, where numbers take 8 itemsize bits.

        Where a class names no formula, those of its payloads if their length does not vary, else NaN.
        """
        length = self.payload_bytes(d, itemsize)
        return math.nan if length is None else 8 * length

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
