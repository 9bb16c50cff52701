"""The inner product in compiled loops, whose bits depend on the two vectors alone."""

from __future__ import annotations

from numba import njit

LANES = 64  # partial sums: independent of each other, so that the loop over them is vectorised


@njit(inline="always")
def inner_product(a, b, lanes):  # type: ignore[no-untyped-def]
    """a . b, for vectors (d,); `lanes` is (LANES,) to work in. Without fastmath each product and sum is rounded."""
    lanes[:] = 0
    whole = a.size - a.size % LANES
    for start in range(0, whole, LANES):
        p, q = a[start : start + LANES], b[start : start + LANES]
        for lane in range(LANES):
            lanes[lane] += p[lane] * q[lane]
    total = 0.0
    for lane in range(LANES):
        total += lanes[lane]
    for c in range(whole, a.size):
        total += a[c] * b[c]
    return total
