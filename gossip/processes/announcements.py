"""What ranks do together next, where some of them only follow: who decides tells the others, and waits for nobody.

A rank that does something tells it to the ranks 1, 2, 4, ... after it, and one that follows passes on what it hears,
so each hears of everything in log2(n) messages. Nobody is asked whether there is more to come: who follows posts how
much it did of its own to a reduction, which is complete when all ranks follow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mpi4py import MPI

from gossip.processes.mpi import MpiCommunicator

KEPT = 1024  # messages on their way that are kept before those that have arrived are forgotten


class Announcements:
    """Numbered from 1 on, the same on all ranks, and from 1 again when all have followed to the end. Collective.

    Args:
        processes: The ranks.
    """

    def __init__(self, processes: MpiCommunicator) -> None:
        self._processes = processes
        self._mpi, request = processes.mpi.Idup()  # where nothing else is sent
        processes.wait([request])
        rank, size = processes.rank, processes.size
        self._successors = [(rank + (1 << i)) % size for i in range((size - 1).bit_length())]
        self._time = 0  # how often all have followed to the end: others may be in the next time already
        self._done = self._told = 0
        self._known: dict[tuple[int, int], int] = {}  # what is done at these times under these numbers
        self._sends: list[MPI.Request] = []

    def announce(self, what: int) -> None:
        """This rank does this next, as others do."""
        self._hear()
        self._done += 1
        self._known[self._time, self._done] = what
        self._tell()
        self._known.pop((self._time, self._done))

    def follow(self) -> Iterator[int]:
        """What others still do, one after the other, until all ranks follow; each is to be done before the next."""
        mine, most = np.array([self._done]), np.empty(1, np.int64)
        request = self._mpi.Iallreduce(mine, most, MPI.MAX)
        while True:
            self._processes.poll(lambda: self._has_news(request, most))
            if (self._time, self._done + 1) not in self._known:
                break
            self._done += 1
            yield self._known.pop((self._time, self._done))
        self._time, self._done, self._told = self._time + 1, 0, 0

    def close(self) -> None:
        """Free what this holds; collective."""
        self._processes.poll(self._all_sent)
        self._processes.barrier()
        self._hear()  # all has been sent by now
        self._mpi.Free()

    def _has_news(self, request: MPI.Request, most: np.ndarray) -> bool:
        """Whether it is known what comes next, or that nothing does and all has been passed on."""
        self._hear()
        self._tell()
        if (self._time, self._done + 1) in self._known:
            return True
        return bool(request.Test() and self._done == self._told == most[0])

    def _all_sent(self) -> bool:
        """Whether others have taken what this rank has told."""
        self._hear()  # as they wait for the same
        return MPI.Request.Testall(self._sends)

    def _hear(self) -> None:
        """Take in what has arrived."""
        while (message := self._mpi.Improbe()) is not None:
            told = np.empty(3, np.int64)
            message.Recv(told)
            time, number, what = told.tolist()
            if (time, number) > (self._time, self._done):
                self._known[time, number] = what

    def _tell(self) -> None:
        """Pass on what is known and was not."""
        while (self._time, self._told + 1) in self._known:
            self._told += 1
            told = np.array([self._time, self._told, self._known[self._time, self._told]])
            self._sends += [self._mpi.Isend(told, rank) for rank in self._successors]
        if len(self._sends) > KEPT:
            self._sends = [request for request in self._sends if not request.Test()]
