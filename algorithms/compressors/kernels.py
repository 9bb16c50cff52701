"""Compiled loops of compression."""

from __future__ import annotations

from numba import njit

BLOCK = 32  # entries that are skipped together if none of them counts


@njit(cache=True, nogil=True)
def at_least(x, threshold, indices):  # type: ignore[no-untyped-def]
    """Write the i with |x[i]| >= threshold to `indices`, ascending; gives their number, -1 if they do not fit."""
    count = 0
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        some = False
        for i in range(part.size):
            some |= abs(part[i]) >= threshold
        if some:
            if count + part.size > indices.size:
                return -1
            for i in range(part.size):
                indices[count] = start + i
                count += abs(part[i]) >= threshold
    return count
