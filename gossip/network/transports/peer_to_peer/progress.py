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

    It runs from `resume` to `pause`, and not at all where the library cannot be called from several threads or
    where there are more ranks than cores, so that it would take time from another rank.

    Args:
        communicator: The processes.
        advance: Does what can be done with what has come by then; called from the thread.
    """

    def __init__(self, communicator: MpiCommunicator, advance: Callable[[], None]) -> None:
        self._communicator = communicator
        self._advance = advance
        self._active = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """Something is under way."""
        if self._communicator.crowded or MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mpi-progress", daemon=True)
            self._thread.start()
            atexit.register(self.stop)  # before MPI ends
        self._active.set()

    def pause(self) -> None:
        """Nothing is under way any more."""
        if self._thread is not None:
            self._active.clear()

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
                self._advance()
            except MPI.Exception:  # who waits for it finds out as well
                self._active.clear()
            pause.wait(INTERVAL)
