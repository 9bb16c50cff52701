"""Letters between MPI processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import xxhash
from mpi4py import MPI

from gossip.network.accord import Accord
from gossip.network.letters import LETTER, Packed, packed, unpacked
from gossip.network.mail import Letter, State
from gossip.processes.mpi import MpiCommunicator
from gossip.processes.progress import Progress, possible

T = TypeVar("T")

TAG = 16  # beside those of the other transports
TESTED = 64  # sends after which those that are done are looked for
LARGE = 1 << 16  # bytes of a letter that MPI does not send at once
COMING = 8  # receives under way at once
SEAL = 8  # bytes of a checksum
FAILED = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING)


class MpiMail:
    """Carries letters between MPI processes; see `Mail` and `LiveMail`.

    All that one rank sends to another has the same tag, so that it arrives in the order of sending. From the first
    large letter to the next mark, a thread lets MPI go on while the process computes, where MPI allows that.

    Args:
        communicator: The processes. When ranks have been lost, it becomes that of the others at the next mark.
        hosted: The nodes of each rank.
        survives: Go on when ranks are lost, with an MPI library that can (ULFM).
        progresses: Whether there may be that thread; never where ranks may be lost.
    """

    def __init__(
        self,
        communicator: MpiCommunicator,
        hosted: Sequence[Sequence[int]],
        *,
        survives: bool = False,
        progresses: bool = True,
    ) -> None:
        self._communicator, self._survives, self._progresses = communicator, survives, progresses and not survives
        self._progress: Progress | None = None
        self._lost: list[int] = []  # nodes of which this has not been told
        self._returned: list[Letter] = []  # to lost nodes, as far as is known before these took them
        self._begin(hosted, Accord(communicator.rank, communicator.size, self._say, floods=survives))

    def _begin(self, hosted: Sequence[Sequence[int]], accord: Accord) -> None:
        """With the ranks that are there."""
        size = self._communicator.size
        self.rank, self.hosted, self._accord = self._communicator.rank, hosted, accord
        self._sends: list[deque[tuple[MPI.Request, Packed]]] = [deque() for _ in range(size)]
        self._sizes = [0] * size  # bytes of these
        self._since = 0  # sends since these were looked at
        self._controls: list[tuple[MPI.Request, Packed]] = []
        self._coming: list[tuple[MPI.Request, int, Packed]] = []  # with the rank that each is from
        self._known = set[int]()  # ranks whose loss has been noticed

    @property
    def state(self) -> State:
        """See `LiveMail`."""
        return self._accord.state

    @property
    def outstanding(self) -> tuple[int, int]:
        """See `LiveMail`."""
        self._since = 0
        for rank, sends in enumerate(self._sends):
            while sends and self._done(sends[0][0]):  # one that fails is gone from here
                self._sizes[rank] -= len(sends.popleft()[1])
        return sum(map(len, self._sends)), sum(self._sizes)

    def send(self, rank: int, letter: Letter) -> None:
        """See `Mail`. Synchronous, so that it is known what has not been taken."""
        if rank in self._known:
            self._returned.append(letter)
            return
        buffer = self._sealed(packed(letter))
        request = self._outliving(lambda: self._communicator.mpi.Issend(buffer, rank, TAG))
        if request is None:
            self._returned.append(letter)
            return
        self._accord.count_sent(rank)
        if len(buffer) >= LARGE and self._progress is None and self._progresses and possible():
            self._progress = Progress(self._communicator.mpi)
        self._sends[rank].append((request, buffer))
        self._sizes[rank] += len(buffer)
        self._since += 1
        if self._since == TESTED:
            assert self.outstanding is not None

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
        if self._lost or any(self._done(request) is not False for request, _, _ in self._coming):
            return True
        return bool(self._outliving(lambda: self._communicator.mpi.Iprobe(MPI.ANY_SOURCE, TAG)))

    def arrived(self) -> Letter | None:
        """See `LiveMail`."""
        return self._take(MPI.ANY_SOURCE)

    def losses(self) -> list[int]:
        """See `LiveMail`."""
        lost, self._lost = self._lost, []
        return lost

    def returned(self) -> list[Letter]:
        """See `LiveMail`."""
        returned, self._returned = self._returned, []
        return returned

    def enough(self, own: int, wanted: int) -> bool:
        """See `LiveMail`."""
        return self._accord.enough(own, wanted)

    def over(self, own: int, more: bool) -> bool:
        """See `LiveMail`."""
        return not self._lost and self._accord.over(own, more)

    def mark(self) -> bool:
        """See `LiveMail`."""
        self._stop_progress()
        if not self._survives:  # a wait: else what is sent after the mark might come to others before it
            self._communicator.barrier()
            self._accord.go_on(after_mark=True)
            return True
        over = self._communicator.agree(self._accord.settled)
        self._notice()  # what that has found out
        self._accord.go_on(after_mark=over)
        return self.recover() if over and self._accord.lost else over

    def recover(self) -> bool:
        """See `LiveMail`."""
        gone, hosted = self._communicator.go_on(), self.hosted
        self._note(gone)
        left = [nodes for rank, nodes in enumerate(hosted) if rank not in gone]
        self._begin(left, self._accord.without(gone, self._communicator.rank))
        return not self._lost

    def wait(self, done: Callable[[], bool]) -> None:
        """See `LiveMail`."""
        self._communicator.poll(done)

    def gather(self, value: T) -> list[T]:
        """See `LiveMail`."""
        values: list[T] = self._communicator.gather(value)
        if not self._survives:  # else some that have heard of the end from others have not taken what else tells of it
            self._communicator.wait([request for request, _ in self._controls])
            self._controls.clear()
        return values

    def finish(self) -> list[Letter]:
        """See `Mail`."""
        self._stop_progress()
        everyone = self._communicator.gather(self._accord.sent)
        left = [sent[self.rank] - taken for sent, taken in zip(everyone, self._accord.taken, strict=True)]
        letters = [self.next(rank) for rank, count in enumerate(left) for _ in range(count)]
        self._communicator.wait([request for sends in self._sends for request, _ in sends])
        for sends in self._sends:
            sends.clear()
        return letters

    def _stop_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _say(self, rank: int, said: list[int]) -> None:
        """Send some numbers."""
        buffer = self._sealed(np.array(said, np.int64).view(np.uint8))
        request = self._outliving(lambda: self._communicator.mpi.Isend(buffer, rank, TAG))
        self._controls = [each for each in self._controls if self._done(each[0]) is False]
        if request is not None:
            self._controls.append((request, buffer))

    def _take(self, source: int) -> Letter | None:
        """The next letter from this rank, or any, that is there; and all else that has come before."""
        while (found := self._received(source)) is not None:
            rank, buffer = found
            if buffer[:8].view(np.int64)[0] == LETTER:
                self._accord.count_taken(rank)
                return unpacked(buffer)
            self._accord.hear(rank, buffer.view(np.int64).tolist())
            self._note(self._accord.lost)
        return None

    def _received(self, source: int) -> tuple[int, Packed] | None:
        """What has come from this rank, or any, and is there as a whole: from whom, and what."""
        mpi, status = self._communicator.mpi, MPI.Status()
        if len(self._coming) < COMING:
            message = self._outliving(lambda: mpi.Improbe(source, TAG, status))
            if message is not None:
                buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
                request = self._outliving(lambda: message.Irecv(buffer))
                if not self._coming and request is not None and self._done(request) and self._is_whole(buffer):
                    return status.source, self._opened(buffer)
                if request is not None:
                    self._coming.append((request, status.source, buffer))
        late = set[int]()
        for request, rank, buffer in [*self._coming]:
            done = rank not in late and source in (rank, MPI.ANY_SOURCE) and self._done(request)
            if done is False:
                late.add(rank)
                continue
            self._coming = [each for each in self._coming if each[0] is not request]
            if done and self._is_whole(buffer):
                return rank, self._opened(buffer)
        return None

    def _sealed(self, buffer: Packed) -> Packed:
        """With a checksum, where ranks may be lost: MPI may take for received what a rank sent that died meanwhile."""
        if not self._survives:
            return buffer
        return np.concatenate([buffer, np.frombuffer(xxhash.xxh3_64_digest(buffer.data), np.uint8)])

    def _is_whole(self, buffer: Packed) -> bool:
        return not self._survives or buffer[-SEAL:].tobytes() == xxhash.xxh3_64_digest(buffer[:-SEAL].data)

    def _opened(self, buffer: Packed) -> Packed:
        return buffer[:-SEAL] if self._survives else buffer

    def _done(self, request: MPI.Request) -> bool | None:
        """Whether it is done; None if it never will be, as a rank is lost."""
        return self._outliving(lambda: bool(request.Test()))

    def _outliving(self, call: Callable[[], T]) -> T | None:
        """What it gives; None if it fails because a rank is lost."""
        try:
            return call()
        except MPI.Exception as error:
            if not self._survives or error.Get_error_class() not in FAILED:
                raise
            self._notice()
            return None

    def _notice(self) -> None:
        """Note which ranks are lost."""
        mpi = self._communicator.mpi
        mpi.Ack_failed()
        self._note(mpi.Get_failed().Translate_ranks(None, mpi.Get_group()))

    def _note(self, ranks: Iterable[int]) -> None:
        """These ranks are lost."""
        new = {*ranks} - self._known
        if new:
            self._known |= new
            self._accord.lose(new)
            self._lost += sorted(node for rank in new for node in self.hosted[rank])
            for rank in new:
                self._returned += [unpacked(self._opened(buffer.copy())) for _, buffer in self._sends[rank]]
                self._sends[rank].clear()
                self._sizes[rank] = 0
