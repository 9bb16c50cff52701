"""What the ranks of a host tell each other through shared memory: what they have published, and what they have read."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gossip.network.transports.shared_memory import futex
from gossip.network.transports.shared_memory.windows import allocate
from gossip.processes.mpi import MpiCommunicator, Wait
from gossip.spans import Spans

LANES = 2  # what is mixed at once, and what is posted ahead, each completed in its own order
ENTRIES = 32  # publications of a lane whose place is on the board
SPIN = 3e-4  # seconds of looking without sleep, where every rank has a core: about what it costs to wake up
LONGEST_WAIT = 1.0  # seconds asleep before another look

LINE = 8  # words of 8 bytes; counters that different ranks write lie on different cache lines
# Where the words of a rank lie on its board.
PUBLISHED, READ, ASLEEP, PLACES = 0, LANES * LINE, 2 * LANES * LINE, (2 * LANES + 1) * LINE
ENTRY = 4  # words


class Board:
    """Where each rank says how many stacks it has published and read, and where the last ones lie.

    A lane is a sequence of exchanges, the same on all ranks: the s-th publication of a rank belongs to the s-th
    exchange. A rank that waits for a counter of another sleeps in the kernel until that changes.

    Args:
        communicator: The processes.
        spans: Is told of waits.
    """

    def __init__(self, communicator: MpiCommunicator, spans: Spans) -> None:
        self._communicator = communicator
        self._spans = spans
        self._all_local = len(communicator.local_ranks) == communicator.size
        self._window, memory = allocate(communicator, 8 * (PLACES + LANES * ENTRIES * ENTRY))
        self._sync = self._window.Sync
        self._words = {rank: each.data.cast("Q") for rank, each in memory.items()}
        self._addresses = {rank: each.ctypes.data for rank, each in memory.items()}
        self._mine = self._words[communicator.rank]
        self._readers: list[list[Sequence[int]]] = [[()] * ENTRIES for _ in range(LANES)]
        for word in range(len(self._mine)):
            self._mine[word] = 0
        self._sync()
        communicator.wait([communicator.host.Ibarrier()])

    def publish(self, lane: int, place: tuple[int, int, int], readers: Sequence[int]) -> int:
        """Say where the next stack of this lane lies, and who will read it; gives its number in the lane."""
        number = self._mine[PUBLISHED + lane * LINE] + 1
        entry = number % ENTRIES
        if not self.is_read(self._readers[lane][entry], lane, number - ENTRIES):
            self.wait_until_read(self._readers[lane][entry], lane, number - ENTRIES)
        self._readers[lane][entry] = readers
        first = PLACES + (lane * ENTRIES + entry) * ENTRY
        self._mine[first], self._mine[first + 1], self._mine[first + 2] = place
        self._set(PUBLISHED + lane * LINE, number, readers)
        return number

    def place(self, rank: int, lane: int, number: int) -> tuple[int, int, int]:
        """Where a rank's publication lies, once it is there."""
        words = self._words[rank]
        if words[PUBLISHED + lane * LINE] < number:
            self._wait(rank, PUBLISHED + lane * LINE, number)
        self._sync()  # what was written before it is seen after it
        first = PLACES + (lane * ENTRIES + number % ENTRIES) * ENTRY
        return words[first], words[first + 1], words[first + 2]

    def finish(self, lane: int, number: int, sources: Sequence[int]) -> None:
        """This rank has read what these ones published for this exchange, and all before it."""
        assert number == self._mine[READ + lane * LINE] + 1, "exchanges of a lane must be completed in their order"
        self._set(READ + lane * LINE, number, sources)

    def is_complete(self, lane: int, number: int) -> bool:
        """Whether this rank has finished the exchange of this number."""
        return self._mine[READ + lane * LINE] >= number

    def is_read(self, readers: Sequence[int], lane: int, number: int) -> bool:
        """Whether all of these ranks have finished the exchange of this number."""
        word = READ + lane * LINE
        for rank in readers:  # noqa: SIM110 (a loop, as this is asked several times in every exchange)
            if self._words[rank][word] < number:
                return False
        return True

    def wait_until_read(self, readers: Sequence[int], lane: int, number: int) -> None:
        """Wait until `is_read`."""
        for rank in readers:
            self._wait(rank, READ + lane * LINE, number)
        self._sync()

    def free(self) -> None:
        """Give the memory back; collective over the host."""
        self._window.Unlock_all()
        self._window.Free()

    def _set(self, word: int, value: int, watching: Sequence[int]) -> None:
        """Change a counter that these ranks may be waiting for."""
        self._sync()  # what was written before must be seen before
        self._mine[word] = value
        self._sync()  # and must be seen by who is about to fall asleep
        for rank in watching:
            if self._words[rank][ASLEEP]:
                futex.wake(self._addresses[self._communicator.rank] + 8 * word)
                return

    def _wait(self, rank: int, word: int, value: int) -> None:
        words = self._words[rank]
        if words[word] >= value:
            return
        if self._all_local and futex.AVAILABLE:
            with self._spans.span(f"wait for rank {rank}", "wait", rank + 1):
                self._sleep(rank, word, value)
        else:  # messages to and from other hosts must go on meanwhile
            mpi = self._communicator.mpi
            self._communicator.poll(lambda: words[word] >= value or bool(mpi.Iprobe() and False), lambda: [rank])

    def _sleep(self, rank: int, word: int, value: int) -> None:
        words, address = self._words[rank], self._addresses[rank] + 8 * word
        if not self._communicator.crowded:
            spin_until = time.perf_counter() + SPIN
            while words[word] < value and time.perf_counter() < spin_until:
                pass
        self._mine[ASLEEP] = 1
        self._sync()
        wait = Wait(self._communicator)
        while (seen := words[word]) < value:
            futex.wait(address, seen & 0xFFFFFFFF, LONGEST_WAIT)  # the low half of the word comes first
            if words[word] < value:
                wait.look(lambda: [rank])
        self._mine[ASLEEP] = 0
