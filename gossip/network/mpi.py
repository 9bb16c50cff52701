"""The communicator of several MPI processes. Nothing here spins while other ranks need the cores."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from gossip.network.communicator import Communicator, available_cores

SPIN = 1e-3  # seconds of polling without a pause, while every rank has a core
FIRST_SLEEP = 20e-6  # times the number of local ranks per core, as the next
LONGEST_SLEEP = 1e-3


class MpiCommunicator(Communicator):
    """A private duplicate of an MPI communicator.

    While every rank of the host has a core of its own, waiting polls without a pause at first, then with the
    shortest sleeps between. With more ranks than cores it sleeps from the start, twice as long each time: a rank
    that spins takes the time that the one it waits for needs.
    """

    def __init__(self, communicator: MPI.Intracomm) -> None:
        self.ranks_per_core = 64.0  # until it is known
        self.mpi, request = communicator.Idup()
        self.wait([request])
        self.rank = self.mpi.rank
        self.size = self.mpi.size
        local = self.mpi.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_size = local.size
        local.Free()
        self.ranks_per_core = self.local_size / available_cores()

    def poll(self, done: Callable[[], bool]) -> None:
        """Wait until `done()` is true; calling it must let MPI make progress."""
        crowded = self.ranks_per_core > 1
        pause = FIRST_SLEEP * self.ranks_per_core
        longest = LONGEST_SLEEP * self.ranks_per_core if crowded else pause
        spin_until = 0.0 if crowded else time.perf_counter() + SPIN
        while not done():
            if time.perf_counter() > spin_until:
                time.sleep(pause)
                pause = min(2 * pause, longest)

    def wait(self, requests: Sequence[MPI.Request]) -> None:
        """Wait for all of these nonblocking operations."""
        pending = list(requests)
        self.poll(lambda: MPI.Request.Testall(pending))

    def broadcast(self, value: Any, root: int = 0) -> Any:
        packed = np.frombuffer(pickle.dumps(value), np.uint8).copy() if self.rank == root else np.empty(0, np.uint8)
        size = np.array([len(packed)])
        self.wait([self.mpi.Ibcast(size, root)])
        if self.rank != root:
            packed = np.empty(size[0], np.uint8)
        self.wait([self.mpi.Ibcast(packed, root)])
        return value if self.rank == root else pickle.loads(packed)

    def first_rank_where(self, flag: bool) -> int | None:
        first = np.empty(1, np.int64)
        self.wait([self.mpi.Iallreduce(np.array([self.rank if flag else self.size]), first, MPI.MIN)])
        return int(first[0]) if first[0] < self.size else None

    def barrier(self) -> None:
        self.wait([self.mpi.Ibarrier()])

    def abort(self, code: int) -> None:
        MPI.COMM_WORLD.Abort(code)  # of the duplicate, it does not reliably end the job with this code

    def close(self) -> None:
        self.mpi.Free()
