"""The cores that processes on one host have together, and torch's share of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.processes.communicator import Communicator


def usable_cores() -> set[int]:
    """The cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def share_cores(communicator: Communicator) -> None:
    """Give torch this process's share of the host's cores, for good: for commands, whose process is theirs.

    More threads than cores slow ranks down tenfold. OMP_NUM_THREADS, where it is set, rules instead.
    """
    import torch

    if communicator.size > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, communicator.local_cores // communicator.local_size))


@contextmanager
def shared_cores(communicator: Communicator) -> Iterator[None]:
    """The same for as long as it lasts: for library calls, which leave the user's process as they have found it."""
    import torch

    before = torch.get_num_threads()
    share_cores(communicator)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
