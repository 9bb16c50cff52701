"""How a job ends when one of its processes fails: at once, and with as few words as say what happened where."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from gossip.errors import DivergedError, GossipError, OwnCodeError, PreemptedError, of_own_code, say
from gossip.processes.calls import SAME
from gossip.processes.communicator import Communicator, PartedError, StalledError, listed
from gossip.processes.words import grouped

PARTING = 2.0  # seconds in which the last agreement of survivors reaches all of them: who ends is lost to the others
FAILURE = 1  # exit code after an unexpected exception
INTERRUPTED = 130  # and after Ctrl-C, as shells have it: 128 + SIGINT
STALLED, PARTED = "", "parted"  # kinds of failures that are waits for others


def end_job(communicator: Communicator, error: BaseException) -> None:
    """Say what has come on this rank, and maybe on others at the same time, and end all processes of the job.

    The others may wait for this rank. Of those that fail, the first speaks for all: each kind of failure is printed
    once, with the ranks. A rank that has waited for others too long says itself for whom.
    """
    from algorithms import NonFiniteError

    code = DivergedError.exit_code if isinstance(error, NonFiniteError) else getattr(error, "exit_code", FAILURE)
    code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else code
    try:
        if isinstance(error, StalledError):
            where = f" in {communicator.calls.doing}" if communicator.calls.doing else ""
            say(f"gossip: {communicator.name}{where} {error}")
        said = communicator.confer(Failure.of(error, communicator.calls.doing))
        place = list(said).index(communicator.rank)
        # The first to print ends the others while they still wait.
        time.sleep(min(1 + 0.3 * place, 5.0) if place else 0)
        if communicator.watch is not None:
            communicator.watch.hush()
        say("\n".join(spoken(communicator, said)))
        time.sleep(0.5)  # for the launcher to pass it on: the abort may take what is still under way
    finally:
        communicator.abort(code)


@dataclass(frozen=True)
class Failure:
    """What ended one rank, as others can tell it.

    Attributes:
        host: Where it ran.
        kind: Differs from that of failures elsewhere in the program; `STALLED` or `PARTED` for a wait for others.
        trace: As Python prints it; "" where it says nothing.
        line: In one line.
        where: In which call, "" if that is not known.
    """

    host: str
    kind: str
    trace: str
    line: str
    where: str = ""

    @classmethod
    def of(cls, error: BaseException, where: str = "") -> Failure:
        """That of an exception."""
        from algorithms import NonFiniteError

        host, line = socket.gethostname(), f"{type(error).__name__}: {error}"
        if isinstance(error, StalledError):
            return cls(host, STALLED, "", line, where)
        if isinstance(error, PartedError):
            return cls(host, PARTED, "", str(error), where)
        if isinstance(error, KeyboardInterrupt):  # wherever it came
            return cls(host, "KeyboardInterrupt", "", "interrupted")
        frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        trace = "" if isinstance(error, NonFiniteError) else "".join(traceback.format_exception(error)).rstrip()
        if isinstance(error, OwnCodeError):
            trace, line = error.trace, str(error)
        return cls(host, " ".join([type(error).__name__, *frames]), trace, line)


def spoken(communicator: Communicator, said: Mapping[int, Failure]) -> list[str]:
    """What is printed of the failures of these ranks, each kind once."""
    kinds: dict[str, list[int]] = {}
    for rank, failure in said.items():
        kinds.setdefault(failure.kind, []).append(rank)
    stalled, apart = kinds.pop(STALLED, []), kinds.pop(PARTED, [])
    lines = []
    for ranks in kinds.values():
        first = said[ranks[0]]
        hosts = ", ".join(sorted({said[rank].host for rank in ranks}))
        lines += [first.trace] if first.trace else []
        lines.append(f"[{listed(ranks)} of {communicator.size} on {hosts}] {first.line}")
    if not kinds:
        what = said[apart[0]].line if apart else _stalled(communicator, {rank: said[rank].where for rank in stalled})
        lines.append(f"gossip: error: {what}")
    return lines


def _stalled(communicator: Communicator, waiting: Mapping[int, str]) -> str:
    """That these ranks have waited too long, each in some call."""
    silent = [rank for rank in range(communicator.size) if rank not in waiting]
    groups = grouped(waiting)
    there = " and ".join(f"{listed(ranks)} waited{f' in {where}' if where else ''}" for ranks, where in groups)
    long = f"for more than {communicator.patience:g} s"
    if silent:
        return (
            f"{listed(silent)} of {communicator.size} did not answer while {there} {long}; a longer stall timeout "
            f"(--stall-timeout, stall_timeout=) lets them wait longer"
        )
    mend = SAME if len(groups) > 1 else "what decides who sends what must be the same on every rank"
    return f"all ranks wait for each other: {there} {long}; {mend}"


@contextmanager
def watched(communicator: Communicator, directory: Path | None, checkpoint: str) -> Iterator[None]:
    """If a rank is killed meanwhile, one line says which, although nobody else may live to say so; collective.

    Where the run directory has a checkpoint, under a name of this pattern, the line says how to go on.
    """
    if communicator.size > 1:
        from gossip.processes.mpi import MpiCommunicator
        from gossip.processes.watcher import Watch

        assert isinstance(communicator, MpiCommunicator)
        ranks, gather = communicator.local_ranks, communicator.gather
        size, where = communicator.size, str(directory or "")
        communicator.watch = Watch(ranks, communicator.rank, gather, size, where, checkpoint)
    try:
        yield
    except GossipError:
        _unwatch(communicator)
        raise
    # After other errors the job ends, and who ends it tells the watchers to be silent.
    _unwatch(communicator)


def _unwatch(communicator: Communicator) -> None:
    if communicator.watch is not None:
        communicator.watch.close()
        communicator.watch = None


@contextmanager
def failing_together(communicator: Communicator) -> Iterator[None]:
    """An unexpected exception on any rank is printed once, with its rank and host, and ends the whole job.

    A `GossipError` is raised alike on all ranks and passes; so does anything in a single process.
    """
    try:
        yield
    except GossipError:
        raise
    except BaseException as error:  # sys.exit on one rank, too, would leave the others waiting
        if communicator.size == 1:
            raise
        end_job(communicator, error)


def leave(code: int) -> NoReturn:
    """End this process, of a job that has lost some: MPI's own way waits for them where there are many."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # one that is full, broken or closed
            stream.flush()
    time.sleep(PARTING)
    os._exit(code)


def complain(error: GossipError, rank: int, traceback: bool = False) -> None:
    """Say in one line what went wrong, on the first rank only; and all lines of a user's own code, if asked for."""
    if rank == 0:
        kind = "" if isinstance(error, PreemptedError) else "error: "
        trace = f"{error.trace}\n" if traceback and error.trace else ""
        say(f"{trace}gossip: {kind}{error}")


@contextmanager
def first_calls(communicator: Communicator) -> Iterator[None]:
    """What a class of the user's own raises when it is first called is said in one line.

    In a single process it is a `UsageError`. Of several ranks it ends the job, since the others may wait for this one.
    """
    try:
        yield
    except GossipError:
        raise
    except Exception as error:
        own = of_own_code(error)
        if own is None:
            raise
        if communicator.size == 1:
            raise own from error
        raise OwnCodeError(own, own.trace if communicator.traceback else "") from error


@contextmanager
def closed_together(communicator: Communicator, close: Callable[[], object]) -> Iterator[None]:
    """Within it something is held that all ranks let go of together at its end, which `close` does; collective."""
    with closed_on_error(communicator, close):
        yield
    close()


@contextmanager
def closed_on_error(communicator: Communicator, close: Callable[[], object]) -> Iterator[None]:
    """Within it something is held that all ranks let go of together after an error, which `close` does.

    That is a `GossipError`, which is raised alike on all of them. After another error the ranks are anywhere in the
    program: of several, the job ends, or those that are left go on without what was held.
    """
    try:
        yield
    except GossipError:
        close()
        raise
    except BaseException:
        if communicator.size == 1:
            close()
        raise


@contextmanager
def speaking_once(communicator: Communicator) -> Iterator[None]:
    """In a user's own script, rank 0 alone reports an error that all ranks raise alike within it, in one line.

    Python reports an error that nobody has caught when the script has ended, so after such an error the hook for
    that stays; otherwise it is set back. In a single process this is so only where a run has been told to stop.
    """
    set_back = speak_once(communicator)
    try:
        yield
    except GossipError as error:
        if isinstance(error, PreemptedError):
            _hook(communicator)
        raise
    except BaseException:
        set_back()
        raise
    set_back()


def speak_once(communicator: Communicator) -> Callable[[], None]:
    """Let rank 0 alone report an error that all ranks raise alike and nobody catches, in one line, with its exit code.

    Any other exception that nobody catches is printed and ends the whole job. In a single process nothing changes.

    Returns:
        What sets Python's hook back.
    """
    return _hook(communicator) if communicator.size > 1 else lambda: None


def _hook(communicator: Communicator) -> Callable[[], None]:
    before = sys.excepthook
    if getattr(before, "speaks_once", False):
        return lambda: None

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, GossipError):
            complain(error, communicator.rank, communicator.traceback)
            raise SystemExit(error.exit_code)  # which Python heeds here
        if communicator.size == 1:
            before(kind, error, trace)
        else:
            end_job(communicator, error)

    def set_back() -> None:
        if sys.excepthook is hook:
            sys.excepthook = before

    hook.speaks_once = True  # type: ignore[attr-defined]
    sys.excepthook = hook
    return set_back
