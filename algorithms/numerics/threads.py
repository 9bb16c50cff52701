"""Threads that work side by side on the rows of a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch


def over_rows(work: Callable[[int, int], object], rows: int, threads: int) -> None:
    """Call work(first, last) for as many parts of the rows 0..rows-1 as there are threads, each in one of them.

    To gain from it, `work` must release the interpreter lock, as compiled kernels and torch operations do.
    """
    parts = min(threads, rows)
    if parts < 2:
        work(0, rows)
        return
    bounds = [rows * part // parts for part in range(parts + 1)]
    list(_pool(threads).map(work, bounds[:-1], bounds[1:]))  # a list, for exceptions to come out


def side_by_side(work: Callable[[int, int], object], rows: int) -> None:
    """`over_rows` with torch's threads, and each torch operation in `work` on one thread alone.

    A sum that several threads share has other bits than one thread's.
    """
    threads = torch.get_num_threads()

    def alone(first: int, last: int) -> None:
        torch.set_num_threads(1)  # a setting of each thread, but of all for some BLAS libraries
        work(first, last)

    try:
        over_rows(alone, rows, threads)
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's matrix operations on one thread: several ones may sum in another order, and their number varies."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
