"""Signals that ask a run to stop: they are remembered, and what follows from them happens between two steps.

A batch system sends more than one. `srun --kill-on-bad-exit=1` sends SIGTERM to all other ranks as soon as the first
has left with an exit code of its own, and leaving takes seconds with some interconnects. So a process that has saved
and leaves ignores them until it is gone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

EARLY = (signal.SIGUSR1,)  # nobody but a batch system sends it, and it ends nothing that has not begun
WATCHED = (*EARLY, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGINT)  # as they are under nohup, and in the background of a script
AGAIN = 1.0  # seconds after which SIGINT is a second one: a terminal and a launcher may both pass on the first
MARKER = "GOSSIP_STOPPED"  # names the file by which a batch script knows that there is more to do


class Signals:
    """Within it, these signals are remembered instead of ending the process.

    A second SIGINT, a second later or more, ends it all the same. Elsewhere than in the main thread, the only one in
    which Python lets this be changed, nothing is.

    Args:
        until_exit: Whether the process is there for nothing else. Until `listen` it remembers SIGUSR1 alone, so that a
            start that hangs can be ended; and on its way out it ignores all of them, whatever has happened.

    Attributes:
        received: The last one that came; None if none did.
    """

    def __init__(self, until_exit: bool = False) -> None:
        self.received: signal.Signals | None = None
        self._until_exit = until_exit
        self._leaving = False
        self._interrupted: float | None = None  # when SIGINT came first
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._watch(EARLY if self._until_exit else WATCHED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._until_exit:
            self.leave()
        for each, handler in self._before.items():
            if not self._leaving or (each is signal.SIGINT and not self._until_exit):
                signal.signal(each, handler)
        self._before = {}

    def listen(self) -> None:
        """Remember all of them from now on. MPI libraries put handlers of their own in the place of earlier ones."""
        self._watch(WATCHED)

    def ignore(self) -> None:
        """Let signals do what they did before, also what has come already."""
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}
        if self.received is not None:
            signal.raise_signal(self.received)

    def leave(self, stopped_by: signal.Signals | None = None) -> None:
        """This process has saved what there is, or has come to its end: no signal changes anything until it is gone.

        But for a second SIGINT, where a first one has stopped it; and whom a person interrupts may go on in Python.

        Args:
            stopped_by: The signal after which it leaves, if it was one.
        """
        if stopped_by is signal.SIGINT and not self._until_exit:
            return
        self._leaving = True
        for each in self._before:
            if each is not signal.SIGINT or self._interrupted is None:
                signal.signal(each, signal.SIG_IGN)

    def _watch(self, numbers: Sequence[signal.Signals]) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for each in numbers:
            before = signal.getsignal(each)
            if before == signal.SIG_IGN and each in MAY_BE_IGNORED:
                signal.signal(each, signal.SIG_IGN)
            else:
                self._before.setdefault(each, signal.SIG_DFL if before is None else before)
                signal.signal(each, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            now = time.monotonic()
            if self._interrupted is not None and now - self._interrupted >= AGAIN:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self._interrupted = self._interrupted or now
        self.received = signal.Signals(number)


def exit_code_of(number: signal.Signals) -> int:
    """That of a run that this signal has stopped and that can go on: 75, or 130 where a person has interrupted it."""
    return 128 + signal.SIGINT if number == signal.SIGINT else os.EX_TEMPFAIL


def tell_batch_script(number: signal.Signals, saved: object) -> None:
    """Let the job be queued again that this signal has stopped; a person who interrupts it does not want that.

    On one rank, when all have saved.

    Args:
        number: The signal.
        saved: Where.
    """
    marker = os.environ.get(MARKER)
    if marker and number != signal.SIGINT:
        with suppress(OSError), open(marker, "w", encoding="utf-8") as file:  # the exit code says it, too
            file.write(f"{saved}\n")
