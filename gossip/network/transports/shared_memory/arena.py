"""Room in shared memory for the stacks that ranks of a host read where they lie."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gossip.network.transports.shared_memory.board import ENTRIES, Board
from gossip.network.transports.shared_memory.windows import allocate
from gossip.processes.mpi import MpiCommunicator

SLOTS = 8  # stacks of one size that a rank has room for; pages that are never written take no memory
STAGING = 3  # of these, for copies of what was made elsewhere: of all but one it may be posted, not read by anyone yet
# Bytes by which each rank's memory is longer than its slots: addresses that differ by a large power of two alone, as
# those of the same row of several ranks would, displace each other from a cache that looks at a hash of them.
STAGGER = 1 << 12
NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}  # of those that NumPy has as well
VIEWS = 1024  # of stacks, kept ready


@dataclass
class Slot:
    """Room for one stack, or for packed messages.

    Attributes:
        owner: What refers to the memory as long as a tensor lies there.
        publications: (readers, lane, number) of what was published from here.
    """

    owner: weakref.ref[NDArray] | None = None
    publications: list[tuple[Sequence[int], int, int]] = field(default_factory=list)

    @property
    def occupied(self) -> bool:
        """Whether a tensor of this process lies here."""
        return self.owner is not None and self.owner() is not None


class Arena:
    """Shared memory for stacks whose rows take up to `row_bytes`: some slots on each rank of the host.

    Args:
        communicator: The processes.
        board: Tells who has read what.
        rows: Rows of this rank's stacks.
        row_bytes: Room for each of them.
    """

    def __init__(self, communicator: MpiCommunicator, board: Board, rows: int, row_bytes: int) -> None:
        self._board = board
        self.slot_bytes = rows * row_bytes
        self._window, self.memory = allocate(communicator, SLOTS * self.slot_bytes + STAGGER)
        self._own = self.memory[communicator.rank]
        self._address = self._own.ctypes.data
        self._slots = [Slot() for _ in range(SLOTS)]

        @lru_cache(maxsize=VIEWS)
        def memory(slot: int, k: int, d: int, dtype: torch.dtype) -> NDArray:
            first = slot * self.slot_bytes
            flat = self._own[first : first + k * d * dtype.itemsize]
            return flat.view(NUMPY_TYPES.get(dtype, np.uint8)).reshape(k, -1)

        self._memory = memory

    def stack(self, k: int, d: int, dtype: torch.dtype) -> Tensor | None:
        """(k, d), uninitialised, in a slot of its own for as long as it is referred to; None if all are taken."""
        slot = self._take(STAGING)
        if slot is None:
            return None
        memory = self._memory(slot, k, d, dtype).view()  # an object of its own, which tells how long it is needed
        self._slots[slot].owner = weakref.ref(memory)
        stack = torch.from_numpy(memory)
        return stack if dtype in NUMPY_TYPES else stack.view(dtype)

    def stage(self) -> tuple[int, NDArray[np.uint8]]:
        """(where it begins, the memory) of a slot for what is published next."""
        slot = self._take(0)
        assert slot is not None, "one of the slots for staging is neither occupied nor posted"
        first = slot * self.slot_bytes
        return first, self._own[first : first + self.slot_bytes]

    def address(self, rank: int) -> int:
        """Of the first byte of a rank's memory, in this process."""
        return self.memory[rank].ctypes.data

    def find(self, address: int) -> int | None:
        """Where in this rank's memory an address is; None if elsewhere."""
        position = address - self._address
        return position if 0 <= position < len(self._own) else None

    def published(self, position: int, readers: Sequence[int], lane: int, number: int) -> None:
        """What lies at this position may not be overwritten before these ranks have read it."""
        slot = self._slots[position // self.slot_bytes]
        if len(slot.publications) >= ENTRIES:
            self._is_read(slot)  # forgets what is
        slot.publications.append((readers, lane, number))

    def exposed(self, position: int) -> bool:
        """Whether what was published from the slot at this position has not been read by all who do."""
        return not self._is_read(self._slots[position // self.slot_bytes])

    @property
    def occupied(self) -> bool:
        """Whether tensors of this process lie here."""
        return any(slot.occupied for slot in self._slots)

    def free(self) -> None:
        """Give the memory back; collective over the host."""
        self._window.Unlock_all()
        self._window.Free()

    def _take(self, first: int) -> int | None:
        """The number of a slot that nobody uses, waiting for readers if need be."""
        unread = None
        for number in range(first, SLOTS):
            slot = self._slots[number]
            if slot.occupied:
                continue
            if self._is_read(slot):
                return number
            # Who has not come to an exchange that this rank completes later may be waiting for it.
            if unread is None and all(self._board.is_complete(lane, number) for _, lane, number in slot.publications):
                unread = number
        if unread is not None:
            for publication in self._slots[unread].publications:
                self._board.wait_until_read(*publication)
        return unread

    def _is_read(self, slot: Slot) -> bool:
        """Whether nobody will read what was published from here."""
        if slot.publications:
            slot.publications = [each for each in slot.publications if not self._board.is_read(*each)]
        return not slot.publications
