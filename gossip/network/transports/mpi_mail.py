"""Letters between MPI processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from mpi4py import MPI
from numpy.typing import NDArray

from algorithms.compressors.message import Decoder, Message
from gossip.network.mail import Letter
from gossip.processes.mpi import MpiCommunicator

LETTER, TOKEN, ALL_OVER = 16, 17, 18  # tags, beside those of the other transports
T = TypeVar("T")

TESTED = 64  # sends after which those that are done are looked for


class MpiMail:
    """Carries letters between MPI processes; see `Mail`.

    Args:
        communicator: The processes.
        hosted: The nodes of each rank.
    """

    def __init__(self, communicator: MpiCommunicator, hosted: Sequence[Sequence[int]]) -> None:
        self.rank, self.hosted = communicator.rank, hosted
        self._communicator = communicator
        self._sends: list[tuple[MPI.Request, NDArray[np.uint8]]] = []
        self._controls: list[tuple[MPI.Request, NDArray[np.int64]]] = []
        self._token_away = self._has_taken = self._is_over = False
        self._sent, self._taken = [0] * communicator.size, [0] * communicator.size

    @property
    def outstanding(self) -> int:
        """See `LiveMail`."""
        self._sends = [(request, kept) for request, kept in self._sends if not request.Test()]
        return len(self._sends)

    def send(self, rank: int, letter: Letter) -> None:
        """See `Mail`. Synchronous, so that what has been sent and not taken can be counted."""
        packed = np.frombuffer(_packed(letter), np.uint8)
        self._sends.append((self._communicator.mpi.Issend(packed, rank, LETTER), packed))
        self._sent[rank] += 1
        if len(self._sends) % TESTED == 0:
            self._sends = [(request, kept) for request, kept in self._sends if not request.Test()]

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
        return bool(self._communicator.mpi.Iprobe(MPI.ANY_SOURCE, LETTER))

    def arrived(self) -> Letter | None:
        """See `LiveMail`."""
        return self._take(MPI.ANY_SOURCE)

    def over(self) -> bool:
        """See `LiveMail`.

        A token goes around the ranks that have nothing to do and counts the letters that have been sent and not taken,
        until it has met nobody who has taken one since it was there (Safra's algorithm: Dijkstra, EWD 998, 1987).
        """
        mpi, rank, size = self._communicator.mpi, self.rank, self._communicator.size
        if size == 1 or self._is_over:
            return True
        if rank > 0 and mpi.Iprobe(0, ALL_OVER):
            self._communicator.wait([mpi.Irecv(np.empty(1, np.int64), 0, ALL_OVER)])
            self._is_over = True
            return True
        if rank == 0 and not self._token_away:
            self._pass_on(0, False)
            self._token_away, self._has_taken = True, False
        if mpi.Iprobe((rank - 1) % size, TOKEN):
            token = np.empty(2, np.int64)
            self._communicator.wait([mpi.Irecv(token, (rank - 1) % size, TOKEN)])
            count, taken = int(token[0]) + sum(self._sent) - sum(self._taken), bool(token[1]) or self._has_taken
            self._has_taken = False
            if rank > 0:
                self._pass_on(count, taken)
            elif count == 0 and not taken:
                nothing = np.zeros(1, np.int64)
                self._controls += [(mpi.Isend(nothing, other, ALL_OVER), nothing) for other in range(1, size)]
                self._is_over = True
            else:
                self._token_away = False
        return self._is_over

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

    def _take(self, source: int) -> Letter | None:
        """A letter from this rank, or any, if one has come."""
        status = MPI.Status()
        message = self._communicator.mpi.Improbe(source, LETTER, status)
        if message is None:
            return None
        buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
        self._communicator.wait([message.Irecv(buffer)], [status.source])
        self._taken[status.source] += 1
        self._has_taken = True
        return _unpacked(buffer)

    def _pass_on(self, count: int, taken: bool) -> None:
        """Send the token to the next rank."""
        token = np.array([count, taken], np.int64)
        following = (self.rank + 1) % self._communicator.size
        self._controls = [(request, kept) for request, kept in self._controls if not request.Test()]
        self._controls.append((self._communicator.mpi.Isend(token, following, TOKEN), token))


def _packed(letter: Letter) -> bytes:
    """A letter as it travels: a message as its sender packed it."""
    sender, to, value, label, cause = letter
    content: tuple[Decoder | None, int, str, bytes]
    if isinstance(value, Message):
        content = value.compressor, value.d, _name(value.dtype), value.pack(0).tobytes()
    else:
        content = None, value.shape[1], _name(value.dtype), value.cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return pickle.dumps((sender, to, label, cause, content))


def _unpacked(packed: NDArray[np.uint8]) -> Letter:
    sender, to, label, cause, (compressor, d, name, content) = pickle.loads(packed.data)
    dtype = getattr(torch, name)
    if compressor is None:
        row = torch.frombuffer(bytearray(content), dtype=dtype)[None]
        return Letter(sender, to, row, label, cause)
    row = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return Letter(sender, to, Message(compressor, d, dtype, torch.device("cpu"), (row,)), label, cause)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
