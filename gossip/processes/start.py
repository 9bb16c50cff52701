"""How a process comes to be part of a job, or says why it cannot and does not keep the others waiting."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from gossip.errors import GossipError, UsageError, say
from gossip.processes.environment import START_TIMEOUT, launched_as, launched_otherwise

FAILURE = 1  # exit code of a process that has waited for too long
TICK = 1.0  # seconds between two looks at the clock
FIRST_WORD = 0.5  # seconds in which the first process speaks
HELD = 3.0  # seconds in which others hear that it has been said
HYDRA = "HYDI_CONTROL_FD"  # set by MPICH's launcher, which speaks PMI-1 with its processes


class StartError(UsageError):
    """This process cannot be part of the job that it was started in, which others maybe can."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Within it a process looks for the others of its job: after so many seconds it says so and ends.

    MPI's initialization waits for all processes without an end, and Python's signal handlers do not run meanwhile: so
    signals do what they do by default.
    """
    found = threading.Event()
    if seconds < threading.TIMEOUT_MAX:
        threading.Thread(target=_give_up, args=(found, seconds), daemon=True).start()
    handlers: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        known = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
        handlers = {each: handler for each, handler in known.items() if handler is not None}  # None: not of Python's
    for each in handlers:
        signal.signal(each, signal.SIG_DFL)
    try:
        yield
    finally:
        found.set()
        for each, handler in handlers.items():
            signal.signal(each, handler)


def _give_up(found: threading.Event, seconds: float) -> None:
    left, looked = seconds, time.monotonic()
    while not found.wait(min(TICK, left)):
        now = time.monotonic()
        left -= min(now - looked, 2 * TICK)  # time in which this process was itself stopped does not count
        looked = now
        if left <= 0:
            say_once(
                f"gossip: error: {whoami()} has not found all other ranks in {seconds:g} s: some may have no MPI "
                f"library, run another program, be stopped or be lost; {START_TIMEOUT}, or --stall-timeout where "
                f"there is one, in seconds, lets them wait longer"
            )
            abandon(FAILURE)
            os._exit(FAILURE)


def whoami() -> str:
    """This process in words."""
    launch = launched_as()
    rank = f"rank {launch.rank} of {launch.size} on " if launch is not None else ""
    return f"{rank}{socket.gethostname()} (process {os.getpid()})"


def refuse(error: GossipError) -> None:
    """Say in one line why this process cannot start, and let none wait for it."""
    if isinstance(error, StartError):
        say_once(f"gossip: error: {error}")
        abandon(error.exit_code)
    elif _rank() == 0:  # all find it alike
        say(f"gossip: error: {error}")


@contextmanager
def refusing() -> Iterator[None]:
    """In a user's own script, an error that is raised within it is such a refusal, if nobody catches it."""
    try:
        yield
    except GossipError as raised:
        refused, before = raised, sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            if error is not refused:
                before(kind, error, trace)
                return
            refuse(refused)
            raise SystemExit(refused.exit_code)  # which Python heeds here

        sys.excepthook = hook
        raise


def abandon(code: int) -> None:
    """Tell the launcher that this process will not come.

    MPICH's does not mind if a process ends before MPI is initialized: the others then wait for it there, for ever.
    Other launchers end them.
    """
    with suppress(KeyError, ValueError, OSError):
        if HYDRA in os.environ:
            os.write(int(os.environ["PMI_FD"]), f"cmd=abort exitcode={code}\n".encode())


def _rank() -> int:
    try:
        launch = launched_otherwise() or launched_as()
    except UsageError:
        return 0  # who cannot tell speaks
    return launch.rank if launch is not None else 0


def say_once(text: str) -> None:
    """Say what may have come to this process alone or to all of its job, which do not know each other yet.

    Those on a host have their launcher for a parent, as a rule. The first one speaks, another one only if nobody has.
    """
    try:
        launch = launched_otherwise() or launched_as()
    except UsageError:
        launch = None
    if launch is None or launch.size == 1:
        say(text)
        return
    if launch.rank:
        time.sleep(FIRST_WORD)
    try:
        with socket.socket(socket.AF_UNIX) as claim:
            claim.bind(f"\0gossip-{os.getppid()}")  # a name without a file, which goes with this process
            say(text)
            time.sleep(HELD)
    except OSError:  # it is taken
        pass
