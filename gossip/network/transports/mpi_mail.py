"""Letters between MPI processes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import torch
from mpi4py import MPI
from numpy.typing import NDArray

from gossip.network.mail import Letter
from gossip.processes.mpi import MpiCommunicator

LETTER = 16  # the tag of letters, beside those of the other transports
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
        self._sent, self._taken = [0] * communicator.size, [0] * communicator.size

    def send(self, rank: int, letter: Letter) -> None:
        """See `Mail`."""
        packed = np.frombuffer(_packed(letter), np.uint8)
        self._sends.append((self._communicator.mpi.Isend(packed, rank, LETTER), packed))
        self._sent[rank] += 1
        if self._sent[rank] % TESTED == 0:
            self._sends = [(request, kept) for request, kept in self._sends if not request.Test()]

    def next(self, rank: int) -> Letter:
        """See `Mail`."""
        mpi, status = self._communicator.mpi, MPI.Status()
        arrived: list[MPI.Message] = []

        def there() -> bool:
            message = mpi.Improbe(rank, LETTER, status)
            if message is not None:
                arrived.append(message)
            return bool(arrived)

        self._communicator.poll(there, lambda: [rank])
        buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
        self._communicator.wait([arrived[0].Irecv(buffer)], [rank])
        self._taken[rank] += 1
        return _unpacked(buffer)

    def finish(self) -> list[Letter]:
        """See `Mail`."""
        everyone = self._communicator.gather(self._sent)
        left = [sent[self.rank] - taken for sent, taken in zip(everyone, self._taken, strict=True)]
        letters = [self.next(rank) for rank, count in enumerate(left) for _ in range(count)]
        self._communicator.wait([request for request, _ in self._sends])
        self._sends.clear()
        return letters


def _packed(letter: Letter) -> bytes:
    row = letter.row.contiguous().cpu()
    about = letter.sender, letter.to, letter.size, letter.label, str(row.dtype).removeprefix("torch.")
    return pickle.dumps((*about, row.view(torch.uint8).numpy().tobytes()))


def _unpacked(packed: NDArray[np.uint8]) -> Letter:
    sender, to, size, label, dtype, content = pickle.loads(packed.data)
    row = torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype))[None]
    return Letter(sender, to, row, size, label)
