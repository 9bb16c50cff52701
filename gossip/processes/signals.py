"""Signals that ask a run to stop: they are remembered, and what follows from them happens between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

WATCHED = (signal.SIGTERM, signal.SIGUSR1)  # what batch systems send before they take a job's nodes away


class Signals:
    """Within it, these signals are remembered instead of ending the process.

    Elsewhere than in the main thread, the only one in which Python lets this be changed, nothing is.

    Attributes:
        received: The last one that came; None if none did.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._remember) for each in WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def ignore(self) -> None:
        """Let signals do what they did before, also what has come already."""
        self.__exit__(None, None, None)
        if self.received is not None:
            signal.raise_signal(self.received)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
