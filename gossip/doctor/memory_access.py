"""Memory that ranks of a host share, and whether one may read that of another."""

from __future__ import annotations

import ctypes
import os
import secrets
import sys

import numpy as np

from gossip.network import Communicator

TOKEN = 16  # bytes


class IoVector(ctypes.Structure):
    """A span of memory as system calls take it: `struct iovec`."""

    _fields_ = (("address", ctypes.c_void_p), ("size", ctypes.c_size_t))


def try_window(processes: Communicator) -> str | None:
    """What is wrong with memory shared with the other ranks of this host; None if nothing is. Collective."""
    if processes.size == 1:
        return None
    from gossip.network.transports.shared_memory.windows import allocate
    from gossip.processes.mpi import MPI, MpiCommunicator

    assert isinstance(processes, MpiCommunicator)
    problem, window = None, None
    try:
        window, memory = allocate(processes, TOKEN)
        memory[processes.rank][:] = processes.rank % 251
        window.Sync()
    except MPI.Exception as error:
        problem = " ".join(str(error).split())
    failed = processes.first_rank_where(problem is not None)  # also: everybody has written
    if window is None or failed is not None:
        return problem
    wrong = [rank for rank, bytes_ in memory.items() if (bytes_ != rank % 251).any()]
    processes.barrier()
    window.Unlock_all()
    window.Free()
    return f"what rank {wrong[0]} wrote there is not seen" if wrong else None


def try_reading(processes: Communicator) -> str | None:
    """What is wrong with copying from the memory of another rank of this host; None if nothing is. Collective.

    Linux calls it cross memory attach; MPI libraries move long messages in this way.
    """
    token = np.frombuffer(secrets.token_bytes(TOKEN), np.uint8)
    ranks = getattr(processes, "local_ranks", [0])
    mine = (os.getpid(), token.ctypes.data, token.tobytes())
    everyone = processes.gather(mine)
    pid, address, expected = everyone[ranks[(ranks.index(processes.rank) + 1) % len(ranks)]]
    problem = read_memory(pid, address, expected)
    processes.barrier()  # the token is needed until all have read
    return problem


def read_memory(pid: int, address: int, expected: bytes) -> str | None:
    """What is wrong with copying these bytes from this address of another process; None if nothing is."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "process_vm_readv", None) if sys.platform == "linux" else None
    if call is None:
        return "this system does not have it"
    copy = ctypes.create_string_buffer(len(expected))
    here, there = IoVector(ctypes.addressof(copy), len(expected)), IoVector(address, len(expected))
    size = ctypes.c_ulong
    call.argtypes = (ctypes.c_int, ctypes.POINTER(IoVector), size, ctypes.POINTER(IoVector), size, size)
    call.restype = ctypes.c_ssize_t
    if call(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) < 0:
        return os.strerror(ctypes.get_errno())
    return None if copy.raw == expected else "another process has this number: ranks are in different containers"
