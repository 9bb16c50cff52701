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


@contextmanager
def one_thread_an_operation() -> Iterator[int]:
    """Torch operations run on one thread each within the block. Gives how many threads that leaves to `over_rows`.

    A sum that several threads share has other bits than one thread's.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
