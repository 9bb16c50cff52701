"""Weighted sums of rows, in node order, with the same bits however they are computed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from algorithms.threads import over_rows
from gossip.network.plan import HaloPlan, Indices

COMPILED = 1 << 18  # bytes of a result from which the compiled kernel pays for its import
Scaled = tuple[float, Tensor]
NOTHING = {kind: np.empty((0, 0), kind) for kind in "fd"}
TYPES = torch.float32, torch.float64
THREADED = 1 << 22  # bytes of a result from which several threads pay


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

    def into(self, out: Tensor, sources: Sequence[Tensor], plus: Scaled | None = None) -> None:
        """Write the sums to `out` (k, d), in its precision; `sources[o]` (rows, d) is what owner o provides.

        Args:
            plus: A number c and a stack y (k, d): the sums plus c y are written.
        """
        if out.dtype in TYPES and out.is_cpu:
            array = out.numpy()
            if array.nbytes >= COMPILED or "numba" in sys.modules:
                self._in_one_pass(array, sources, plus)
                return
            if len(array) == 1:
                self._of_one_row(array[0], sources)
            else:
                self._term_by_term(out, sources)
        else:
            self._term_by_term(out, sources)
        if plus is not None:
            scale, added = plus
            out += scale * added

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

    def _in_one_pass(self, out: np.ndarray, sources: Sequence[Tensor], plus: Scaled | None) -> None:
        from gossip.network.kernels import weighted_sums

        k, d = out.shape
        kind = out.dtype
        if sources[0].stride(1) != 1:  # the caller's own rows
            sources = [sources[0].contiguous(), *sources[1:]]
        addresses, strides = _addresses(
            tuple([(source.data_ptr(), source.stride(0)) for source in sources]), kind.itemsize
        )
        terms = self._plan.indptr, self._plan.owners, self.rows, self._weights[kind.char]
        scale, added = (plus[0], plus[1].contiguous().numpy()) if plus else (0.0, NOTHING[kind.char])
        scale = kind.type(scale)
        threads = torch.get_num_threads() if out.nbytes >= THREADED else 1
        if threads == 1:
            weighted_sums(*terms, addresses, strides, added, scale, out, 0, k)
            return

        def rows(first: int, last: int) -> None:
            weighted_sums(*terms, addresses, strides, added, scale, out, first, last)

        def columns(first: int, last: int) -> None:
            here, offset = slice(first, last), np.uint64(first * kind.itemsize)
            weighted_sums(*terms, addresses + offset, strides, added[:, here], scale, out[:, here], 0, k)

        over_rows(*((columns, d) if k == 1 else (rows, k)), threads)

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
    def _weights(self) -> dict[str, np.ndarray]:
        return {kind: self._plan.weights.astype(kind) for kind in "fd"}

    @cached_property
    def _terms(self) -> dict[str, list[tuple[int, int, np.floating]]]:
        """(owner, row, weight) of each term."""
        places = self._plan.owners.tolist(), self.rows.tolist()
        return {kind: list(zip(*places, weights, strict=True)) for kind, weights in self._weights.items()}

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


@lru_cache(maxsize=256)
def _addresses(sources: tuple[tuple[int, int], ...], itemsize: int) -> tuple[np.ndarray, np.ndarray]:
    """(address of row 0, bytes from one row to the next) of each source, for the kernel."""
    addresses, strides = zip(*sources, strict=True)
    return np.array(addresses, np.uint64), np.array(strides, np.int64) * itemsize
