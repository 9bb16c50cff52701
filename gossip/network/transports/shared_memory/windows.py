"""Memory that the processes of a host share: MPI windows."""

from __future__ import annotations

import math
import os

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from gossip.processes.mpi import MpiCommunicator

DEVICE = "/dev/shm"  # where the memory comes from on Linux


def free_shared_memory() -> float:
    """Bytes, as far as can be told."""
    if not os.path.isdir(DEVICE):
        return math.inf
    room = os.statvfs(DEVICE)
    return room.f_bavail * room.f_frsize


def allocate(communicator: MpiCommunicator, size: int) -> tuple[MPI.Win, dict[int, NDArray[np.uint8]]]:
    """A window with `size` bytes of this rank, and the memory of every rank of the host; collective over the host."""
    communicator.wait([communicator.host.Ibarrier()])  # the call itself spins
    window = MPI.Win.Allocate_shared(size, 1, comm=communicator.host)
    window.Lock_all(MPI.MODE_NOCHECK)
    memory = {rank: np.asarray(window.Shared_query(i)[0], np.uint8) for i, rank in enumerate(communicator.local_ranks)}
    return window, memory
