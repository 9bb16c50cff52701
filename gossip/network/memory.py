"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


@cache
def keep_freed_memory() -> None:
    """Use freed memory again instead of giving it back to the system, where the C library is glibc.

    By default glibc maps each large array anew and unmaps it when it is freed, so that every intermediate result of
    a step is made of pages that the system must first clear: several times the cost of writing the result.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, -1)
