"""The compiled inner loop of mixing: weighted sums of rows that lie anywhere in memory, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit
from numba.core import cgutils, types
from numba.extending import intrinsic

BLOCK = 2048  # columns: the partial sums of a row with many terms stay in the first-level cache


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer: rows lie in several arrays, whose number is not known when this is compiled."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.uintp), generate


# Without fastmath every product and every sum is rounded by itself, as the torch operations round them.


@njit(inline="always")
def _set_1(out, u, a):  # type: ignore[no-untyped-def]
    for c in range(out.size):
        out[c] = u * a[c]


@njit(inline="always")
def _set_2(out, u, a, v, b):  # type: ignore[no-untyped-def]
    for c in range(out.size):
        out[c] = u * a[c] + v * b[c]


@njit(inline="always")
def _set_3(out, u, a, v, b, w, e):  # type: ignore[no-untyped-def]
    for c in range(out.size):
        out[c] = u * a[c] + v * b[c] + w * e[c]


@njit(inline="always")
def _add_1(out, u, a):  # type: ignore[no-untyped-def]
    for c in range(out.size):
        out[c] = out[c] + u * a[c]


@njit(inline="always")
def _add_2(out, u, a, v, b):  # type: ignore[no-untyped-def]
    for c in range(out.size):
        out[c] = out[c] + u * a[c] + v * b[c]


@njit(cache=True, nogil=True)
def weighted_sums(  # type: ignore[no-untyped-def]
    indptr, owners, rows, weights, addresses, strides, added, scale, out, first_row, last_row
):
    """out[i] = sum over the terms t of row i, in order, of weights[t] * (row rows[t] of owner owners[t]),
    plus scale * added[i] unless `added` is empty.

    Args:
        indptr: (k + 1,) int64, the terms of each row.
        owners, rows: (terms,) int64.
        weights: (terms,) in the type of `out`.
        addresses: (owners,) uint64, where row 0 of each owner lies.
        strides: (owners,) int64, bytes from one row to the next.
        added: (k, d) or (0, 0), contiguous.
        scale: In the type of `out`.
        out: (k, d), contiguous, not overlapping any row that is read.
        first_row, last_row: The rows to compute.
    """
    d = out.shape[1]
    for i in range(first_row, last_row):
        first, last = indptr[i], indptr[i + 1]
        for start in range(0, d, BLOCK):
            size = min(BLOCK, d - start)
            part = out[i, start : start + size]
            offset = start * out.itemsize
            t = first
            terms = last - first
            if terms == 0:
                part[:] = 0
            elif terms == 1:
                _set_1(part, weights[t], _row(t, offset, size, owners, rows, addresses, strides, part))
                t += 1
            elif terms % 2 == 0:
                _set_2(
                    part,
                    weights[t],
                    _row(t, offset, size, owners, rows, addresses, strides, part),
                    weights[t + 1],
                    _row(t + 1, offset, size, owners, rows, addresses, strides, part),
                )
                t += 2
            else:
                _set_3(
                    part,
                    weights[t],
                    _row(t, offset, size, owners, rows, addresses, strides, part),
                    weights[t + 1],
                    _row(t + 1, offset, size, owners, rows, addresses, strides, part),
                    weights[t + 2],
                    _row(t + 2, offset, size, owners, rows, addresses, strides, part),
                )
                t += 3
            while t < last:
                _add_2(
                    part,
                    weights[t],
                    _row(t, offset, size, owners, rows, addresses, strides, part),
                    weights[t + 1],
                    _row(t + 1, offset, size, owners, rows, addresses, strides, part),
                )
                t += 2
            if added.size:
                _add_1(part, scale, added[i, start : start + size])


@njit(inline="always")
def _row(t, offset, size, owners, rows, addresses, strides, like):  # type: ignore[no-untyped-def]
    owner = owners[t]
    return carray(_pointer(addresses[owner] + np.uint64(rows[t] * strides[owner] + offset)), size, like.dtype)
