"""Letters between MPI processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from mpi4py import MPI

from gossip.network.letters import Packed, packed, unpacked
from gossip.network.mail import Letter, State
from gossip.processes.mpi import MpiCommunicator

T = TypeVar("T")

TAG = 16  # beside those of the other transports
LETTER, COUNT, ENOUGH, TOKEN, OVER = range(5)  # the first number of what is sent
TESTED = 64  # sends after which those that are done are looked for
COUNTING = 1e-3  # seconds, times the number of ranks, between two times that a rank says how many gradients it has


class MpiMail:
    """Carries letters between MPI processes; see `Mail` and `LiveMail`.

    Rank 0 is told how many gradients the others have and says when there are enough.

    Args:
        communicator: The processes.
        hosted: The nodes of each rank.

    Attributes:
        state: See `LiveMail`.
    """

    def __init__(self, communicator: MpiCommunicator, hosted: Sequence[Sequence[int]]) -> None:
        self.rank, self.hosted = communicator.rank, hosted
        self.state = State(0, True)
        self._communicator, self._size = communicator, communicator.size
        self._sends: list[tuple[MPI.Request, Packed]] = []
        self._controls: list[tuple[MPI.Request, Packed]] = []
        # What is counted, so that all of it has been taken at a mark: letters, and what is said of gradients.
        self._sent, self._taken = [0] * self._size, [0] * self._size
        self._gradients = [0] * self._size  # as far as this rank knows
        self._told = 0.0  # when that was last told
        self._token: list[int] | None = None
        self._token_away = self._has_taken = self._is_enough = self._is_over = False

    @property
    def outstanding(self) -> int:
        """See `LiveMail`."""
        self._sends = still_under_way(self._sends)
        return len(self._sends)

    def send(self, rank: int, letter: Letter) -> None:
        """See `Mail`."""
        self._post(rank, packed(letter, LETTER))

    def next(self, rank: int) -> Letter:
        """See `Mail`."""
        found: list[Letter] = []

        def there() -> bool:
            letter = self._take(rank)
            if letter is not None:
                found.append(letter)
            return bool(found)

        self._communicator.poll(there, lambda: [rank])
        return found[0]

    def waiting(self) -> bool:
        """See `LiveMail`."""
        return bool(self._communicator.mpi.Iprobe(MPI.ANY_SOURCE, TAG))

    def arrived(self) -> Letter | None:
        """See `LiveMail`."""
        return self._take(MPI.ANY_SOURCE)

    def enough(self, own: int, wanted: int) -> bool:
        """See `LiveMail`."""
        if self._is_enough:
            return True
        if self.rank > 0:
            if time.perf_counter() - self._told > COUNTING * self._size:
                self._tell(own)
            return False
        self._is_enough = own + sum(self._gradients[1:]) >= wanted
        if self._is_enough:
            for other in range(1, self._size):
                self._post(other, numbers(ENOUGH))
        return self._is_enough

    def over(self, own: int, more: bool) -> bool:
        """See `LiveMail`.

        A token goes around the ranks that have nothing to do and counts what has been sent and not taken, until it has
        met nobody who has taken anything since it was there (Safra's algorithm: Dijkstra, EWD 998, 1987).
        """
        if self._size == 1:
            self.state, self._is_over = State(own, more), True
        if self._is_over:
            return True
        if self.rank > 0:
            self._tell(own)
        if self._token is not None:
            count, taken, gradients, others_more = self._token
            self._token = None
            count += sum(self._sent) - sum(self._taken)
            said = [count, taken or self._has_taken, gradients + own, more or others_more]
            self._has_taken = False
            if self.rank > 0:
                self._control((self.rank + 1) % self._size, TOKEN, *said)
            elif said[0] or said[1]:
                self._token_away = False
            else:
                self.state, self._is_over = State(said[2], bool(said[3])), True
                for other in range(1, self._size):
                    self._control(other, OVER, *self.state)
        if self.rank == 0 and not self._token_away:
            self._token_away, self._has_taken = True, False
            self._control(1, TOKEN, 0, False, 0, False)
        return self._is_over

    def mark(self) -> None:
        """See `LiveMail`."""
        self._token_away = self._has_taken = self._is_enough = self._is_over = False
        # Else what one rank sends after the mark might come to another before that has heard that all is over.
        self._communicator.barrier()

    def wait(self, done: Callable[[], bool]) -> None:
        """See `LiveMail`."""
        self._communicator.poll(done)

    def gather(self, value: T) -> list[T]:
        """See `LiveMail`."""
        values = self._communicator.gather(value)
        self._communicator.wait([request for request, _ in (*self._sends, *self._controls)])
        self._sends, self._controls = [], []
        return values

    def finish(self) -> list[Letter]:
        """See `Mail`."""
        everyone = self._communicator.gather(self._sent)
        left = [sent[self.rank] - taken for sent, taken in zip(everyone, self._taken, strict=True)]
        letters = [self.next(rank) for rank, count in enumerate(left) for _ in range(count)]
        self._communicator.wait([request for request, _ in self._sends])
        self._sends.clear()
        return letters

    def _post(self, rank: int, buffer: Packed) -> None:
        """Send something that is counted. Synchronous, so that it is known what has not been taken."""
        self._sends.append((self._communicator.mpi.Issend(buffer, rank, TAG), buffer))
        self._sent[rank] += 1
        if len(self._sends) % TESTED == 0:
            self._sends = still_under_way(self._sends)

    def _control(self, rank: int, *said: int) -> None:
        """Send something that is not counted."""
        buffer = numbers(*said)
        self._controls = still_under_way(self._controls)
        self._controls.append((self._communicator.mpi.Isend(buffer, rank, TAG), buffer))

    def _tell(self, own: int) -> None:
        """Tell rank 0 how many gradients there are here, if that is new."""
        if own > self._gradients[self.rank]:
            self._gradients[self.rank], self._told = own, time.perf_counter()
            self._post(0, numbers(COUNT, own))

    def _take(self, source: int) -> Letter | None:
        """A letter from this rank, or any, if one has come; and all else that has come before."""
        status = MPI.Status()
        while (message := self._communicator.mpi.Improbe(source, TAG, status)) is not None:
            buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
            self._communicator.wait([message.Irecv(buffer)], [status.source])
            kind, *said = buffer[:64].view(np.int64).tolist()
            if kind in (LETTER, COUNT, ENOUGH):
                self._taken[status.source] += 1
                self._has_taken = True
            if kind == LETTER:
                return unpacked(buffer)
            self._hear(status.source, kind, said)
        return None

    def _hear(self, source: int, kind: int, said: list[int]) -> None:
        """Something that is no letter has come."""
        if kind == COUNT:
            (self._gradients[source],) = said
        elif kind == ENOUGH:
            self._is_enough = True
        elif kind == TOKEN:
            self._token = said
        else:
            self.state, self._is_over = State(said[0], bool(said[1])), True


def still_under_way(sends: list[tuple[MPI.Request, Packed]]) -> list[tuple[MPI.Request, Packed]]:
    """Those that are not done."""
    return [(request, kept) for request, kept in sends if not request.Test()]


def numbers(*said: int) -> Packed:
    """These, as they are sent."""
    return np.array(said, np.int64).view(np.uint8)
