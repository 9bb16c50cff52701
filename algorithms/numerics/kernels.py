"""Compiled loops over long vectors. Without fastmath, every product and every sum is rounded by itself."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_scaled_into(out, x, c, y, start, stop):  # type: ignore[no-untyped-def]
    """out = x + c y from start to stop, for vectors (d,); c has their type, and `out` may be one of them."""
    target, first, second = out[start:stop], x[start:stop], y[start:stop]
    for i in range(target.size):
        target[i] = first[i] + c * second[i]
