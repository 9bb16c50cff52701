"""The compiled inner loop of mixing: weighted sums of rows that lie anywhere in memory, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit
from numba.core import cgutils, types
from numba.extending import intrinsic

BLOCK = 1024  # columns: the partial sums of a row stay in the first-level cache
STREAMED_BLOCK = 64  # of what goes past the caches: longer bursts of such writes stop the reads meanwhile
LINE = 64  # bytes of a cache line


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer: rows lie in several arrays, whose number is not known when this is compiled."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.intp), generate


@intrinsic
def _stream_line(context: Any, target: Any, source: Any) -> Any:
    """Copy a cache line to an address that is a multiple of its size, past the caches."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = ir.VectorType(ir.IntType(64), 4)
        for offset in (0, LINE // 2):
            to, origin = (builder.add(each, ir.Constant(each.type, offset)) for each in arguments)
            values = builder.load(builder.inttoptr(origin, half.as_pointer()), align=4)
            store = builder.store(values, builder.inttoptr(to, half.as_pointer()), align=LINE // 2)
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))

    return types.void(types.intp, types.intp), generate


@intrinsic
def _fence(context: Any) -> Any:
    """What was stored before is seen by others before what is stored after; streamed stores have no order otherwise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")

    return types.void(), generate


@njit(inline="always")
def _vector(address, size, like):  # type: ignore[no-untyped-def]
    return carray(_pointer(address), size, like.dtype)


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


@njit(inline="always")
def _copy(out, a):  # type: ignore[no-untyped-def]
    for c in range(out.size):
        out[c] = a[c]


@njit(cache=True, nogil=True)
def weighted_sums(  # type: ignore[no-untyped-def]
    indptr, weights, rows, added, added_stride, scale, out, out_stride, d, first_row, last_row, stream
):
    """Row i of `out` = sum over the terms t of row i, in order, of weights[t] * (the row at rows[t]),
    plus scale * (row i of `added`) unless `added` is 0.

    Args:
        indptr: (k + 1,) int64, the terms of each row.
        weights: (terms,), of the type of all rows.
        rows: (terms,) int64 addresses, no row overlapping the rows of `out`.
        added, out: The addresses of their first rows,
        added_stride, out_stride: and the bytes from one row to the next.
        scale: In the type of `weights`.
        d: Columns.
        first_row, last_row: The rows to compute.
        stream: Whether the result goes past the caches.
    """
    itemsize = weights.itemsize
    block = STREAMED_BLOCK if stream else BLOCK
    scratch = np.empty(STREAMED_BLOCK, weights.dtype)
    scratch_address = scratch.ctypes.data
    for i in range(first_row, last_row):
        first, last = indptr[i], indptr[i + 1]
        terms = last - first
        start = 0
        while start < d:
            offset = start * itemsize
            address = out + i * out_stride + offset
            size = min(block - address % LINE // itemsize, d - start)  # blocks end with a cache line
            part = _vector(scratch_address if stream else address, size, weights)
            t = first
            if terms == 0:
                part[:] = 0
            elif terms == 1:
                _set_1(part, weights[t], _vector(rows[t] + offset, size, weights))
                t += 1
            elif terms % 2 == 0:
                _set_2(
                    part,
                    weights[t],
                    _vector(rows[t] + offset, size, weights),
                    weights[t + 1],
                    _vector(rows[t + 1] + offset, size, weights),
                )
                t += 2
            else:
                _set_3(
                    part,
                    weights[t],
                    _vector(rows[t] + offset, size, weights),
                    weights[t + 1],
                    _vector(rows[t + 1] + offset, size, weights),
                    weights[t + 2],
                    _vector(rows[t + 2] + offset, size, weights),
                )
                t += 3
            while t < last:
                _add_2(
                    part,
                    weights[t],
                    _vector(rows[t] + offset, size, weights),
                    weights[t + 1],
                    _vector(rows[t + 1] + offset, size, weights),
                )
                t += 2
            if added:
                _add_1(part, scale, _vector(added + i * added_stride + offset, size, weights))
            if stream:
                _stream(address, scratch_address, size, weights)
            start += size
    if stream:
        _fence()


@njit(inline="always")
def _stream(target, source, size, like):  # type: ignore[no-untyped-def]
    """Copy a vector between these addresses past the caches, all but what does not fill a cache line."""
    itemsize = like.itemsize
    begin = min(-target % LINE // itemsize, size)
    lines = (size - begin) * itemsize // LINE
    done = begin + lines * LINE // itemsize
    _copy(_vector(target, begin, like), _vector(source, begin, like))
    for offset in range(begin * itemsize, done * itemsize, LINE):
        _stream_line(target + offset, source + offset)
    _copy(_vector(target + done * itemsize, size - done, like), _vector(source + done * itemsize, size - done, like))
