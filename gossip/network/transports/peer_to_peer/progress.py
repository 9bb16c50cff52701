"""Progress of messages while a process computes."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable

from mpi4py import MPI

from gossip.processes.mpi import MpiCommunicator

INTERVAL = 1e-3  # seconds between two looks


class Progress:
    """A thread that lets MPI move what is under way: by itself it does so only inside calls to it.

    It runs while anything is under way, and not at all where the library cannot be called from several threads or
    where there are more ranks than cores, so that it would take time from another rank.

    Args:
        communicator: The processes.
    """

    def __init__(self, communicator: MpiCommunicator) -> None:
        self._communicator = communicator
        self._under_way: list[tuple[object, Callable[[], object] | None]] = []
        self._active = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def begin(self, what: object, advance: Callable[[], object] | None = None) -> None:
        """Something is under way from now on.

        Args:
            what: It.
            advance: Does what can be done for it by now, where MPI alone does not; called from the thread too.
        """
        self._under_way.append((what, advance))
        if self._communicator.crowded or MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mpi-progress", daemon=True)
            self._thread.start()
            atexit.register(self.stop)  # before MPI ends
        self._active.set()

    def end(self, what: object) -> None:
        """It is no longer under way, if it was."""
        if self._under_way:
            self._under_way = [each for each in self._under_way if each[0] is not what]
            if not self._under_way:
                self._active.clear()

    def advance(self) -> None:
        """Do what can be done by now for all that is under way."""
        for _, advance in self._under_way:  # one list, whatever begins or ends meanwhile
            if advance is not None:
                advance()

    def stop(self) -> None:
        """End the thread."""
        if self._thread is not None:
            atexit.unregister(self.stop)
            self._stopped = True
            self._active.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._active.wait()
            if self._stopped:
                return
            try:
                self._communicator.mpi.Iprobe()
                self.advance()
            except MPI.Exception:  # who waits for it finds out as well
                self._active.clear()
            pause.wait(INTERVAL)
