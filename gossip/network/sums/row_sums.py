"""The compiled inner loop of mixing: weighted sums of rows that lie anywhere in memory, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from algorithms.numerics.compiling import compiled

LINE = 64  # bytes of a cache line
WIDTHS = 4 * LINE, LINE, LINE // 4  # bytes of a row that are summed in registers; more at a time are written too slowly
BLOCK = 4096  # bytes of the rows that are summed together, part by part: a loop over short ones has more to do
AHEAD = 8192  # bytes of short rows that are on their way to the caches: any row of a stack may be the next
SHORT = 1024  # bytes of a row; longer ones the processor foresees


class Vector(types.Type):
    """Numbers in registers, added and multiplied side by side."""

    def __init__(self, element: Any, width: int) -> None:
        super().__init__(f"Vector({element}, {width})")
        self.element, self.width = element, width


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.element).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.width))


def _spread(builder: Any, value: Any, width: int) -> Any:
    one = builder.insert_element(ir.Constant(ir.VectorType(value.type, width), ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), width), None))


@intrinsic(prefer_literal=True)
def _filled(context: Any, value: Any, width: Any) -> Any:
    """The vector of so many of this value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0], width.literal_value)

    return Vector(value, width.literal_value)(value, width), generate


@intrinsic
def _plus(context: Any, total: Any, weight: Any, address: Any) -> Any:
    """total + weight * (what is at the address). Without fastmath, products and sums are rounded one by one, as the
    torch operations round them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, factor, there = arguments
        values = builder.load(builder.inttoptr(there, before.type.as_pointer()), align=total.element.bitwidth // 8)
        return builder.fadd(before, builder.fmul(_spread(builder, factor, total.width), values))

    return total(total, weight, types.intp), generate


@intrinsic
def _store(context: Any, vector: Any, address: Any, stream: Any) -> Any:
    """Write to the address; past the caches if told to, which takes whole cache lines."""
    size = vector.width * vector.element.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, there, past = arguments
        pointer = builder.inttoptr(there, values.type.as_pointer())
        if size % LINE:
            builder.store(values, pointer, align=vector.element.bitwidth // 8)
            return
        with builder.if_else(past) as (streamed, kept):
            with streamed:
                store = builder.store(values, pointer, align=LINE)
                store.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            with kept:
                builder.store(values, pointer, align=vector.element.bitwidth // 8)

    return types.void(vector, types.intp, types.boolean), generate


@intrinsic
def _prefetch(context: Any, like: Any, address: Any) -> Any:
    """Ask for the cache lines of a vector like this, which is read soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, into_all_caches, data = integer(0), integer(3), integer(1)
        for offset in range(0, like.width * like.element.bitwidth // 8, LINE):
            there = builder.inttoptr(builder.add(arguments[1], arguments[1].type(offset)), cgutils.voidptr_t)
            builder.call(function, [there, to_read, into_all_caches, data])

    return types.void(like, types.intp), generate


@intrinsic
def _fence(context: Any) -> Any:
    """What was stored before is seen by others before what is stored after; streamed stores have no order otherwise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")

    return types.void(), generate


def weighted_sums(d: int, size: int) -> Callable[..., None]:
    """The loop for rows of d numbers of so many bytes: see `_loop`."""
    return _loop(next((width // size for width in WIDTHS if width <= d * size), 1), size)


@cache
def _loop(width: int, size: int) -> Callable[..., None]:
    """The loop that sums so many columns at a time, some again if fewer are left over; compiled on first use."""

    @compiled
    def loop(terms, sources, plus, result, rows, stream):  # type: ignore[no-untyped-def]
        """Row i of `out` = sum over the terms t of row i, in order, of weights[t] * (the row at base + offsets[t]),
        plus scale * (row i of `added`) unless `added` is 0.

        Args:
            terms: `indptr` (k + 1,) int64, the terms of each row; and `weights` (terms,), of the type of all rows.
            sources: `base`, an address, from which `offsets` (terms,) int32 or int64 bytes lead to rows, none
                overlapping the rows of `out`.
            plus: The address of the first row of `added`, the bytes from one row to the next, and `scale`, in the type
                of `weights`.
            result: The address of the first row of `out`, the bytes from one row to the next, and the columns, not less
                than the width.
            rows: The first row to compute, and the one after the last.
            stream: Whether the result goes past the caches.
        """
        (indptr, weights), (base, offsets), (added, added_stride, scale) = terms, sources, plus
        (out, out_stride, d), (first_row, last_row) = result, rows
        count = np.uintp(len(offsets))  # unsigned: other indices would be checked for being negative
        row_bytes = max(d * size, 1)
        ahead = np.uintp(AHEAD // row_bytes if row_bytes <= SHORT else 0)
        block = max(BLOCK // row_bytes, 1)
        zero = weights.dtype.type(0)
        for begin in range(first_row, last_row, block):
            end = min(begin + block, last_row)
            # The first part of a long row is so much shorter that the others begin with a cache line.
            shift = ((out + begin * out_stride) & (LINE - 1)) // size if width * size > LINE else 0
            for part in range((d + shift - 1) // width + 1):
                offset = max(0, min(part * width - shift, d - width)) * size
                source, target, also = base + offset, out + offset, added + offset
                for row in range(np.uintp(begin), np.uintp(end)):
                    first, last = np.uintp(indptr[row]), np.uintp(indptr[row + np.uintp(1)])
                    later = min(ahead, count - last)
                    total = _filled(-zero if last > first else zero, width)  # -0.0 + x is x, also if x is -0.0
                    for t in range(first, last):
                        if later:
                            _prefetch(total, source + offsets[t + later])
                        total = _plus(total, weights[t], source + offsets[t])
                    if added:
                        total = _plus(total, scale, also + np.intp(row) * added_stride)
                    address = target + np.intp(row) * out_stride
                    _store(total, address, stream and address & (LINE - 1) == 0)
        if stream:
            _fence()

    return loop
