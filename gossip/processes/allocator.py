"""What the C library does with memory that is freed: a setting of the process, which a run is faster with."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h
KEPT = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1}
# glibc cannot be asked what it had, and no longer adjusts it: this is where its adjustment to large arrays ends.
SET_BACK = {M_MMAP_MAX: 1 << 16, M_MMAP_THRESHOLD: 1 << 25, M_TRIM_THRESHOLD: 1 << 26}


class _Wanted:
    """How many want freed memory to be kept in this process."""

    by = 0


def keep_freed_memory() -> None:
    """Use freed memory again instead of giving it back to the system, for good: for commands.

    By default glibc maps each large array anew and unmaps it when it is freed, so that every intermediate result of
    a step is made of pages that the system must first clear: several times the cost of writing the result. Other C
    libraries are left alone.
    """
    _Wanted.by += 1
    if _Wanted.by == 1:
        _set(KEPT)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """The same for as long as it lasts: for library calls, which leave the user's process as glibc has it."""
    keep_freed_memory()
    try:
        yield
    finally:
        _Wanted.by -= 1
        if not _Wanted.by:
            _set(SET_BACK)


def _set(options: dict[int, int]) -> None:
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            for option, value in options.items():
                mallopt(option, value)
