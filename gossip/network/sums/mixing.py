"""Weighted sums of rows, in node order, with the same bits however they are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.numerics.compiled import use_compiled
from algorithms.numerics.sums import THREADED
from algorithms.numerics.threads import over_rows
from gossip.network.plans.halo import HaloPlan, Indices

Scaled = tuple[float, Tensor]
TYPES = {torch.float32: "f", torch.float64: "d"}  # of the compiled kernel, and NumPy's names for them
NARROW = 1 << 31  # bytes within which rows are found by 32 bits: of short rows that is much of what is read


class RowAddresses(NamedTuple):
    """Where the rows of all terms lie: that of term t at the address base + offsets[t]."""

    base: int
    offsets: NDArray[np.integer]


class Sums:
    """The sums of one round: row i is sum_t weight_t * (row `rows[t]` of owner `plan.owners[t]`) over its terms t.

    Args:
        plan: Says which nodes are summed with what weights.
        rows: (terms,) the row of each term in what its owner provides: `plan.rows` where owners provide their whole
            block, `plan.places` where they provide what is needed of it.
    """

    def __init__(self, plan: HaloPlan, rows: Indices) -> None:
        self._plan = plan
        self.rows = rows

        @lru_cache(maxsize=8)
        def offsets(sources: tuple[tuple[int, int], ...]) -> NDArray[np.integer]:
            begins, strides = np.array(sources, np.int64).T
            found = begins[plan.owners] + rows * strides[plan.owners]
            return found.astype(np.int32) if np.abs(found).max(initial=0) < NARROW else found

        self._offsets = offsets

    def addresses(self, sources: Sequence[tuple[int, int]]) -> RowAddresses:
        """Where the rows are if what owner o provides lies at `sources[o]` = (address, bytes from one row to the
        next)."""
        base = sources[0][0]
        return RowAddresses(base, self._offsets(tuple([(address - base, stride) for address, stride in sources])))

    def into(
        self, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None, stream: bool = False
    ) -> None:
        """Write the sums to `out` (k, d), in its precision; `sources[o]` (rows, d) is what owner o provides.

        Args:
            sources: These, or where their rows are, where `compiles(out)`.
            plus: A number c and a stack y (k, d): the sums plus c y are written.
            stream: Whether to write past the caches: what nobody on this core reads soon.
        """
        if isinstance(sources, RowAddresses):
            self._in_one_pass(out, sources, plus, stream)
            return
        if compiles(out):
            if sources[0].stride(1) != 1:  # the caller's own rows
                sources = [sources[0].contiguous(), *sources[1:]]
            size = out.itemsize
            places = self.addresses([(source.data_ptr(), source.stride(0) * size) for source in sources])
            self._in_one_pass(out, places, plus, stream)
            return
        if out.dtype in TYPES and out.is_cpu and len(out) == 1:
            self._of_one_row(out.numpy()[0], sources)
        else:
            self._term_by_term(out, sources)
        if plus is not None:
            scale, added = plus
            out += scale * added

    def terms(self, dtype: torch.dtype) -> list[tuple[int, int, np.floating]]:
        """(owner, row, weight in this precision) of each term."""
        return self._terms[TYPES[dtype]]

    @np.errstate(all="ignore")  # infinities and NaN are as silent as with torch
    def _of_one_row(self, out: np.ndarray, sources: Sequence[Tensor]) -> None:
        terms = self._terms[out.dtype.char]
        for t, (owner, row, weight) in enumerate(terms):
            values = sources[owner].numpy()[row]
            if t == 0:
                np.multiply(values, weight, out)
            else:
                np.add(out, values * weight, out)
        if not terms:
            out[:] = 0

    def _in_one_pass(self, out: Tensor, places: RowAddresses, plus: Scaled | None, stream: bool) -> None:
        k, d = out.shape
        weights, scale = self._weights[TYPES[out.dtype]]
        added, added_stride = 0, 0
        if plus is not None:
            scale, y = weights.dtype.type(plus[0]), plus[1] if plus[1].stride(1) == 1 else plus[1].contiguous()
            added, added_stride = y.data_ptr(), y.stride(0) * y.itemsize
        result, size = out.data_ptr(), out.itemsize
        stride = out.stride(0) * size
        terms, (base, offsets) = (self._plan.indptr, weights), places

        def some_rows(first: int, last: int) -> None:
            also, to = (added, added_stride, scale), (result, stride, d)
            _loop(d, size)(terms, (base, offsets), also, to, (first, last), stream)

        def some_columns(first: int, last: int) -> None:
            columns, here = last - first, first * size
            also, to = (added and added + here, 0, scale), (result + here, 0, columns)
            _loop(columns, size)(terms, (base + here, offsets), also, to, (0, 1), stream)

        threads = torch.get_num_threads() if d * k * size >= THREADED else 1
        if threads == 1:
            some_rows(0, k)
            return
        over_rows(*((some_columns, d) if k == 1 else (some_rows, k)), threads)

    def _term_by_term(self, out: Tensor, sources: Sequence[Tensor]) -> None:
        """The first terms of all rows, then the second ones, ...: a few operations for many short rows."""
        rows = torch.cat(list(sources)) if len(sources) > 1 else sources[0]
        starts = np.cumsum([0] + [len(source) for source in sources[:-1]])
        picked = torch.from_numpy(starts[self._plan.owners] + self.rows).to(rows.device)
        if len(self._levels[0][1]) < len(out):
            out.zero_()  # a row without any terms
        for level, (summed, terms, weights) in enumerate(self._levels):
            products = weights.to(rows) * rows.index_select(0, picked[terms])
            out[summed] = products if level == 0 else out[summed] + products

    @cached_property
    def _weights(self) -> dict[str, tuple[np.ndarray, np.floating]]:
        """In each precision, and a zero."""
        return {kind: (self._plan.weights.astype(kind), np.dtype(kind).type(0)) for kind in "fd"}

    @cached_property
    def _terms(self) -> dict[str, list[tuple[int, int, np.floating]]]:
        """(owner, row, weight) of each term."""
        places = self._plan.owners.tolist(), self.rows.tolist()
        return {kind: list(zip(*places, weights, strict=True)) for kind, (weights, _) in self._weights.items()}

    @cached_property
    def _levels(self) -> list[tuple[Tensor | slice, Tensor, Tensor]]:
        """For each level l = 0, 1, ...: the rows with more than l terms, these terms, and their weights (rows, 1)."""
        counts = np.diff(self._plan.indptr)
        levels: list[tuple[Tensor | slice, Tensor, Tensor]] = []
        for level in range(max(1, counts.max())):
            summed = np.flatnonzero(counts > level)
            terms = self._plan.indptr[summed] + level
            everywhere = len(summed) == len(counts)
            levels.append(
                (
                    slice(None) if everywhere else torch.from_numpy(summed),
                    torch.from_numpy(terms),
                    torch.from_numpy(self._plan.weights[terms, None]),
                )
            )
        return levels


def compiles(stack: Tensor) -> bool:
    """Whether sums like this stack are computed by the compiled loop."""
    return stack.dtype in TYPES and stack.is_cpu and use_compiled(stack.nbytes)


@cache
def _loop(d: int, size: int) -> Callable[..., None]:
    from gossip.network.sums.row_sums import weighted_sums

    return weighted_sums(d, size)
