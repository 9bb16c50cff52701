"""Where the ranks of a job are, so that none waits for ever for one that has gone another way.

The calls that all ranks make together are counted on each. A rank that waits for others longer than a moment tells
those that it waits for in which call it is. Two that wait in calls that the other has not come to have parted. A rank
at its end listens until all others are at theirs: one that waits in a call that this rank has not made would wait for
ever, so the rank that leaves says so and ends the job. As long as nobody waits, nothing is sent.
"""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import mpi4py
import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from gossip.errors import say
from gossip.processes.calls import Calls
from gossip.processes.communicator import PartedError
from gossip.processes.exit_code import own_exit_code
from gossip.processes.words import crossed, parted

AGAIN = 0.5  # seconds until they are told again
SHORTEST_SLEEP, LONGEST_SLEEP = 20e-6, 20e-3  # seconds between two looks at the end
WORDS = 1.5  # seconds in which ranks that leave hear of each other and of all who wait
LAST = 0.5  # seconds for the launcher to pass on what was said
ENDED = 20.0  # seconds after which a rank that waits for one that has left ends the job itself


@dataclass(frozen=True)
class Report:
    """Where a rank is."""

    left: bool
    """At its end, and it has found that others wait for it."""

    calls: Calls
    """That it has begun."""

    waiting: dict[int, Calls]
    """The ranks that wait for it, and what they have begun, if it has left."""


class Attendance:
    """This rank among those of a communicator. At the end of the process it waits until all are at their end.

    Args:
        communicator: Of its own, with these ranks.
        calls: That this rank has begun.
        everyone: Whether these are all ranks of the job, in their order.

    Attributes:
        closing: What is to be done, the last first, when all ranks have come to their end.
    """

    def __init__(self, communicator: MPI.Intracomm, calls: Calls, everyone: bool) -> None:
        self.calls, self.everyone = calls, everyone
        self.closing: list[Callable[[], object]] = []
        self._mpi = communicator
        self._told: dict[int, tuple[MPI.Request, NDArray[np.uint8]]] = {}
        self._looked = 0.0
        self._end: MPI.Request | None = None
        if not _present:
            atexit.register(leave)
        _present.append(self)

    def look(self, awaited: Callable[[], Sequence[int]] | None) -> None:
        """Tell the ranks that this one waits for, all if that is not known, where it is; and hear of others.

        Raises:
            PartedError: this rank and another wait for each other in different calls.
        """
        now = time.perf_counter()
        if now - self._looked < AGAIN:
            return
        self._looked = now
        self._tell((awaited and awaited()) or self._others, Report(False, self.calls, {}))
        for source, report in self._heard():
            if report.left:
                time.sleep(ENDED)  # it ends the job, with its own exit code
                abort(1)
            if self.calls.ahead_of(report.calls) and report.calls.ahead_of(self.calls):
                raise PartedError(crossed({self._mpi.rank: self.calls.doing, source: report.calls.doing}))

    def all_at_end(self) -> bool:
        """Whether all ranks are at their end; to be called again and again by a rank that is.

        Raises:
            PartedError: others wait for this one.
        """
        heard = dict(self._heard())
        if any(report.left or self.calls.lacks(report.calls) for report in heard.values()):
            raise PartedError(self._last_words(heard))
        # What one has told is heard by all before they leave: see Hoefler et al., "Scalable communication protocols
        # for dynamic sparse data exchange", PPoPP 2010.
        if self._end is None and all(request.Test() for request, _ in self._told.values()):
            self._end = self._mpi.Ibarrier()
        return self._end is not None and bool(self._end.Test())

    def free(self) -> None:
        """No longer attend, where all ranks are `all_at_end`; collective."""
        _present.remove(self)
        self._mpi.Free()

    @property
    def _others(self) -> list[int]:
        return [rank for rank in range(self._mpi.size) if rank != self._mpi.rank]

    def _tell(self, ranks: Sequence[int], report: Report) -> None:
        """Tell these ranks, but those that have not heard yet what they were told before."""
        packed = np.frombuffer(pickle.dumps(report), np.uint8)
        for rank in ranks:
            if rank not in self._told or self._told[rank][0].Test():
                self._told[rank] = self._mpi.Issend(packed, rank), packed

    def _heard(self) -> Iterator[tuple[int, Report]]:
        """What others have told since the last time, and who."""
        status = MPI.Status()
        while (message := self._mpi.Improbe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)) is not None:
            buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
            message.Recv(buffer)
            yield status.source, pickle.loads(buffer.data)

    def _last_words(self, heard: dict[int, Report]) -> str:
        """What the first of the ranks that leave is to say, when all of them have told each other; "" on others."""
        rank = self._mpi.rank
        packed = np.frombuffer(pickle.dumps(Report(True, self.calls, self._waiting(heard))), np.uint8)
        requests = [self._mpi.Isend(packed, other) for other in self._others]
        until = time.perf_counter() + WORDS
        while time.perf_counter() < until:
            MPI.Request.Testall(requests)
            heard |= dict(self._heard())
            time.sleep(LONGEST_SLEEP)
        left = {source: report.calls for source, report in heard.items() if report.left} | {rank: self.calls}
        return parted(left, self._waiting(heard), self._mpi.size) if rank == min(left) else ""

    def _waiting(self, heard: dict[int, Report]) -> dict[int, Calls]:
        """The ranks that wait for this one, or for others that have left."""
        told = [report.waiting for report in heard.values() if report.left]
        here = {source: each.calls for source, each in heard.items() if self.calls.lacks(each.calls)}
        found = {source: calls for waiting in [*told, here] for source, calls in waiting.items()}
        return {source: calls for source, calls in found.items() if source not in heard or not heard[source].left}


_present: list[Attendance] = []  # of this process, to be looked after at its end


def attending(communicator: MPI.Intracomm) -> Attendance | None:
    """Of all ranks, if these are all ranks of the job and have been together before."""
    return next((each for each in _present if each.everyone), None) if is_everyone(communicator) else None


def is_everyone(communicator: MPI.Intracomm) -> bool:
    """Whether these are all ranks of the job, in their order."""
    return bool(MPI.Comm.Compare(communicator, MPI.COMM_WORLD) == MPI.IDENT)


def abort(code: int) -> NoReturn:
    """End all processes of the job with this exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # who aborts has said why, and MPI's own line adds nothing
    MPI.COMM_WORLD.Abort(code)  # of a duplicate, it does not reliably end the job with this code
    os._exit(code)  # MPICH comes back from there, and this process would go on until the launcher ends it


def leave() -> None:
    """At the end of this process: wait until all ranks that it has to do with are at their end, and let go of all.

    A rank may evaluate or write for as long as it likes after its last step, so this wait has no limit.
    """
    if MPI.Is_finalized():
        return
    try:
        _wait_for_all()
    except PartedError as error:
        _end_job(str(error))
        return
    except MPI.Exception:  # ranks have died, in a job that outlives them
        return
    for attendance in [*_present]:
        while attendance.closing:
            attendance.closing.pop()()


def _wait_for_all() -> None:
    pause, ends = SHORTEST_SLEEP, list(_present)
    while ends := [attendance for attendance in ends if not attendance.all_at_end()]:
        time.sleep(pause)
        pause = min(1.1 * pause, LONGEST_SLEEP)


def _end_job(words: str) -> None:
    """End all processes of the job with the exit code of this one, if that is not 0."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or none
        sys.stdout.flush()
    # Where mpi4py ends MPI, a copy of this process would wait in there.
    code = own_exit_code() if mpi4py.rc.finalize is False else 1
    if code is None:
        return
    if words:
        say(f"gossip: error: {words}")
    time.sleep(LAST if words else 2 * LAST)
    abort(code)
