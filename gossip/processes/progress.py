"""A thread that lets MPI move what is under way while a process computes."""

from __future__ import annotations

import threading

from mpi4py import MPI

PAUSE = 1e-3  # seconds between two looks
NOTHING = 15  # a tag of no message


class Progress:
    """Looks again and again for a message that nobody sends, which lets MPI go on, until it is stopped.

    Args:
        mpi: The processes.
    """

    def __init__(self, mpi: MPI.Intracomm) -> None:
        self._mpi, self._end = mpi, threading.Event()
        self._thread = threading.Thread(target=self._look, name="gossip-progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Come to an end, and wait for that."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(PAUSE) and not MPI.Is_finalized():  # where an error has ended the run
            self._mpi.Iprobe(MPI.ANY_SOURCE, NOTHING)


def possible() -> bool:
    """Whether MPI can be called from several threads at once."""
    return bool(MPI.Query_thread() == MPI.THREAD_MULTIPLE)
