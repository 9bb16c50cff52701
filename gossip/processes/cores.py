"""The cores that processes on one host have together, and torch's share of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


def usable_cores() -> set[int]:
    """The cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


class Sharing(Protocol):
    """Processes of which some share a host."""

    @property
    def size(self) -> int:
        """Number of all of them."""

    @property
    def local_size(self) -> int:
        """Number of them on this host."""

    @property
    def local_cores(self) -> int:
        """Number of cores that these may use together."""


def share_cores(processes: Sharing) -> None:
    """Give torch this process's share of the host's cores, for good: for commands, whose process is theirs.

    More threads than cores slow ranks down tenfold. OMP_NUM_THREADS, where it is set, rules instead.
    """
    import torch

    if processes.size > 1 and not os.environ.get("OMP_NUM_THREADS", "").strip():
        torch.set_num_threads(max(1, processes.local_cores // processes.local_size))


@contextmanager
def shared_cores(processes: Sharing) -> Iterator[None]:
    """The same for as long as it lasts: for library calls, which leave the user's process as they have found it."""
    import torch

    before = torch.get_num_threads()
    share_cores(processes)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
