"""Processes that compute runs one after the other, without a start of their own for each."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from gossip.errors import DataError
from gossip.processes.cores import share_cores, usable_cores
from gossip.study.cells import Outcome, Run, Store

LOOK_EVERY = 0.5  # seconds between two looks at whether it is stopped


@dataclass(frozen=True)
class Share:
    """One of several processes on this host."""

    size: int

    @property
    def local_size(self) -> int:
        """All of them are here."""
        return self.size

    @property
    def local_cores(self) -> int:
        """Those that they have together."""
        return len(usable_cores())


class Here:
    """This process computes the runs itself.

    Args:
        store: Keeps them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def compute(self, runs: Sequence[Run], stopped: Callable[[], bool]) -> Iterator[tuple[Run, Outcome]]:
        """Each run with how it ended, as they end, until it is stopped, between two steps of one."""
        for run in runs:
            outcome = None if stopped() else self._store.compute(run, stopped)
            if outcome is None:
                return
            yield run, outcome


class Workers:
    """So many processes of this host compute the runs. They end with this one, however it ends.

    Args:
        store: Keeps them.
        number: How many processes.
    """

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self._number = number
        self._workers: dict[Connection, SpawnProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection, worker in self._workers.items():
            connection.close()
            worker.kill()  # what it computes now is not kept
            worker.join()
        self._workers.clear()

    def compute(self, runs: Sequence[Run], stopped: Callable[[], bool]) -> Iterator[tuple[Run, Outcome]]:
        """Each run with how it ended, as they end, until it is stopped, at once.

        Raises:
            DataError: One cannot be kept.
        """
        left, busy = list(reversed(runs)), dict[Connection, Run]()
        while (left or busy) and not stopped():
            while left and len(busy) < self._number:
                connection = self._idle(busy)
                busy[connection] = left.pop()
                connection.send(busy[connection])
            for ready in wait(list(busy), timeout=LOOK_EVERY):
                assert isinstance(ready, Connection)
                run = busy.pop(ready)
                yield run, self._received(ready, run)

    def _idle(self, busy: dict[Connection, Run]) -> Connection:
        for connection in self._workers:
            if connection not in busy:
                return connection
        connection, theirs = get_context("spawn").Pipe()
        worker = get_context("spawn").Process(target=_work, args=(theirs, self._store.directory, self._number))
        worker.start()
        theirs.close()
        self._workers[connection] = worker
        return connection

    def _received(self, connection: Connection, run: Run) -> Outcome:
        """What a process says of its run; if it died, others take its place."""
        try:
            said: Outcome | DataError = connection.recv()
        except (EOFError, OSError):
            worker = self._workers.pop(connection)
            worker.join()
            connection.close()
            said = Outcome("failed", _death(worker.exitcode))
            self._store.note(run, said)
        if isinstance(said, DataError):
            raise said
        return said


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"its process was killed by {name}" + ("; is there enough memory?" if name == "SIGKILL" else "")


def _work(connection: Connection, directory: Path, number: int) -> None:
    """What a worker does until it is killed or the process that started it is gone."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):  # they are for that process, which kills this one
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from gossip.processes.allocator import keep_freed_memory

    share_cores(Share(number))
    keep_freed_memory()
    store = Store(directory)
    while True:
        try:
            run = connection.recv()
        except EOFError:
            return
        try:
            said: Outcome | DataError | None = store.compute(run)
        except OSError as error:
            said = DataError(f"cannot write into {directory} ({error.strerror})")
        connection.send(said)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
