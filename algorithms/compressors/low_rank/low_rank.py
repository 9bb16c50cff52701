"""What operators on the matrices of a model share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.compressors.remembering import part_memory
from algorithms.compressors.wire import frames, scaling
from algorithms.layout import Layout
from algorithms.numerics.threads import one_thread
from algorithms.randomness import Key, stream
from algorithms.state import Block


class Part(NamedTuple):
    """Consecutive entries of a vector, the rows of a matrix one after another.

    Attributes:
        start: The first of the entries.
        entries: Their number, which may be less than n m: what is missing of the last row is zero.
        n: Rows of the matrix.
        m: Columns of the matrix.
    """

    start: int
    entries: int
    n: int
    m: int

    @property
    def place(self) -> slice:
        """Where these entries are in the vector."""
        return slice(self.start, self.start + self.entries)

    def entries_of(self, x: Tensor) -> Tensor:
        """(n m) the entries of the matrix in x (d,)."""
        return torch.nn.functional.pad(x[self.place], (0, self.n * self.m - self.entries))


@dataclass(frozen=True)
class LowRank(Compressor):
    """Sends sums of a few products u v^T instead of matrices.

    The matrices are the tensors of the model (`for_layout`), tensor (o, ...) as a matrix of o rows. Those with a single
    dimension, or none, and those that products would not be shorter for, are sent as they are. Without a model, or if
    it has no tensor of several dimensions, the whole vector is one matrix, as square as possible: ceil(d / m) rows of
    m = ceil(sqrt(d)) entries, the last one filled with zeros.

    Payload: for each tensor its numbers as they are or, of its r products, the r unit vectors on the longer side of the
    matrix, then the r others, behind their number r if it varies.

    Args:
        shapes: Of the tensors of the model, in order; filled in by `for_layout`.
    """

    shapes: tuple[tuple[int, ...], ...] | None = field(default=None, kw_only=True)

    def for_layout(self, layout: Layout) -> Self:
        shapes = tuple(tuple(shape) for shape in layout.shapes.values())
        return replace(self, shapes=shapes if any(len(shape) > 1 for shape in shapes) else None)

    def check_dimension(self, d: int) -> None:
        if self.shapes is not None and sum(map(prod, self.shapes)) != d:
            tensors = sum(map(prod, self.shapes))
            raise ValueError(f"{type(self).__name__}: shapes hold {tensors} parameters, the vector {d}")

    def products(self, part: Part) -> float:
        """How many products stand for a matrix, on average."""
        raise NotImplementedError

    def count(self, part: Part) -> int | None:
        """How many products stand for a matrix; None if their number varies and is sent before them."""
        return None

    def factors(
        self, matrix: Tensor, random: np.random.Generator, memory: Block | None = None
    ) -> tuple[Tensor, Tensor]:
        """(unit vectors u (r, n), v (r, m)) of the r products for a matrix (n, m) with n >= m, in double precision.

        Args:
            matrix: The matrix, in double precision.
            random: What is drawn is drawn from it.
            memory: What is remembered of this row of this matrix, if anything.
        """
        raise NotImplementedError

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        random = stream(key.own)
        sections = []
        for i, part in enumerate(self.parts(len(x))):
            if self.shortens(part):
                sections += self._encode(part, x, random, part_memory(memory, i))
            else:
                sections.append(frames.as_bytes(x[part.place]))
        return scaling.decodable(torch.cat(sections), x, self)

    def decode(self, payload: Tensor, out: Tensor) -> None:
        for part in self.parts(len(out)):
            here = out[part.place]
            if self.shortens(part):
                payload = self._decode(part, payload, here)
            else:
                here[:], payload = _read_numbers(payload, part.entries, out)
        self.check_length(payload, 0)
        frames.finite(out)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 8 * itemsize * sum(min(self._numbers(part), part.entries) for part in self.parts(d))

    def parts(self, d: int) -> Iterator[Part]:
        """The parts of a vector of d numbers, in order."""
        if self.shapes is None:
            m = math.isqrt(d - 1) + 1
            yield Part(0, d, -(-d // m), m)
            return
        self.check_dimension(d)
        start = 0
        for shape in self.shapes:
            entries = prod(shape)
            if entries:
                n = shape[0] if len(shape) > 1 else 1
                yield Part(start, entries, n, entries // n)
            start += entries

    def shortens(self, part: Part) -> bool:
        """Whether a matrix is sent as products."""
        return self._numbers(part) < part.entries

    def _numbers(self, part: Part) -> float:
        """How many numbers its products take."""
        return self.products(part) * (part.n + part.m)

    def _encode(self, part: Part, x: Tensor, random: np.random.Generator, memory: Block | None) -> list[Tensor]:
        entries, exponents = scaling.lift(part.entries_of(x).numpy())
        matrix = torch.from_numpy(entries).view(part.n, part.m)
        with one_thread():
            units, others = self.factors(matrix if part.n >= part.m else matrix.T, random, memory)
        others = scaling.drop(others.numpy(), exponents, x, self)
        numbers = [frames.as_bytes(each).flatten() for each in (units.to(x.dtype), others)]
        return numbers if self.count(part) is not None else [frames.varints([len(units)]), *numbers]

    def _decode(self, part: Part, payload: Tensor, out: Tensor) -> Tensor:
        """Write the sum of the products that a payload begins with; gives what follows."""
        count = self.count(part)
        if count is None:
            (count,), payload = frames.read_varints(payload, 1)
        longer, shorter = max(part.n, part.m), min(part.n, part.m)
        units, payload = _read_numbers(payload, count * longer, out)
        others, payload = _read_numbers(payload, count * shorter, out)
        total = torch.zeros(longer, shorter, dtype=out.dtype, device=out.device)
        for u, v in zip(units.view(count, longer), others.view(count, shorter), strict=True):
            total += u[:, None] * v
        out[:] = (total if part.n >= part.m else total.T).flatten()[: part.entries]
        return payload


def _read_numbers(payload: Tensor, count: int, out: Tensor) -> tuple[Tensor, Tensor]:
    """(so many numbers that a payload begins with, in the precision and on the device of `out`; what follows)."""
    size = count * out.itemsize
    if len(payload) < size:
        raise ValueError(f"a payload in which {size - len(payload)} bytes are missing")
    return frames.from_bytes(payload[:size], out.dtype).to(out.device), payload[size:]
