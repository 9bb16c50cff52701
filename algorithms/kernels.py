"""Compiled loops over long vectors. Without fastmath, every product and every sum is rounded by itself."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_scaled_into(out, x, c, y):  # type: ignore[no-untyped-def]
    """out = x + c y for vectors (d,); c has their type, and `out` may be one of them."""
    for i in range(out.size):
        out[i] = x[i] + c * y[i]
