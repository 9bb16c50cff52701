"""The stacks that the ranks of a host have in shared memory: where they lie, and how they get there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from gossip.network.transport import Site
from gossip.network.transports.shared_memory.arena import VIEWS, Arena
from gossip.network.transports.shared_memory.board import Board
from gossip.network.transports.shared_memory.windows import DEVICE, free_shared_memory
from gossip.processes.mpi import MpiCommunicator
from gossip.spans import timed

SMALLEST_ROW = 1 << 12  # bytes


# Where a stack lies in the shared memory of its rank: the number of the arena, bytes from its beginning to the first
# row, and bytes from one row to the next, which are 0 of packed rows. A bare tuple, of which many are made.
Place = tuple[int, int, int]

NOWHERE = 0, 0, 0  # of what nobody reads


class SharedStacks:
    """Shared memory for stacks of all sizes, in arenas that are made where a size is first asked for.

    Args:
        site: The nodes.
        communicator: The processes.
        board: Tells who has read what.
    """

    def __init__(self, site: Site, communicator: MpiCommunicator, board: Board) -> None:
        self._communicator = communicator
        self._board = board
        self._hosted = site.hosted
        self._rows = len(site.nodes)
        self._arenas: list[Arena] = []
        self._arena_of_size: dict[int, int | None] = {}
        self.view = lru_cache(maxsize=VIEWS)(self._view)
        self._copy = timed(site.spans, self._copy_stack, "copy to shared memory", "copy")
        self.stage_message = timed(site.spans, self._copy_message, "copy to shared memory", "copy")

    def empty(self, d: int, dtype: torch.dtype) -> Tensor | None:
        """(k, d), uninitialised, in shared memory; None if there is no room. Collective."""
        arena = self.arena(d * dtype.itemsize)
        return None if arena is None else self._arenas[arena].stack(self._rows, d, dtype)

    def arena(self, row_bytes: int) -> int | None:
        """The number of the arena for rows of this size; None if there is no room. Collective over the host."""
        size = max(SMALLEST_ROW, 1 << (row_bytes - 1).bit_length())
        if size not in self._arena_of_size:
            self._arena_of_size[size] = self._make_arena(size)
        return self._arena_of_size[size]

    def find(self, address: int) -> tuple[int, int] | None:
        """(arena, position) of what lies at this address, if that is in this rank's shared memory."""
        for number, arena in enumerate(self._arenas):
            position = arena.find(address)
            if position is not None:
                return number, position
        return None

    def exposed(self, address: int) -> bool:
        """Whether somebody may still read what lies at this address."""
        found = self.find(address)
        return found is not None and self._arenas[found[0]].exposed(found[1])

    def place(self, stack: Tensor, arena: int) -> Place:
        """Where a stack lies, after a copy to this arena if it is not in shared memory."""
        found = self.find(stack.data_ptr())
        row, column = stack.stride()
        if found is not None and column == 1:
            return *found, row * stack.itemsize
        return self._copy(stack, arena)

    def published(self, place: Place, readers: Sequence[int], lane: int, number: int) -> None:
        """What lies there may not be overwritten before these ranks have read it; see `Board.publish`."""
        self._arenas[place[0]].published(place[1], readers, lane, number)

    def address(self, rank: int, place: Place) -> int:
        """Of the first row of what a rank has there, in this process."""
        return self._arenas[place[0]].address(rank) + place[1]

    def packed(self, rank: int, place: Place, rows: Sequence[int]) -> list[Bytes]:
        """Some of the packed rows that a rank has there."""
        arena, position, _ = place
        memory = self._arenas[arena].memory[rank][position:]
        ends = memory[: 16 * len(self._hosted[rank])].view(np.int64).reshape(-1, 2).tolist()
        return [memory[slice(*ends[row])] for row in rows]

    def close(self) -> None:
        """Give the memory back, but for that of stacks that are still referred to; collective over the host."""
        communicator = self._communicator
        self.view.cache_clear()
        occupied = np.array([arena.occupied for arena in self._arenas], np.uint8)
        anywhere = np.empty_like(occupied)
        communicator.wait([communicator.host.Iallreduce(occupied, anywhere, MPI.MAX)])
        for arena in [arena for arena, kept in zip(self._arenas, anywhere, strict=True) if not kept]:
            arena.free()
        self._arenas.clear()

    def _view(self, rank: int, place: Place, d: int, dtype: torch.dtype) -> Tensor:
        """(rows, d): the stack that a rank has there."""
        arena, position, stride = place
        k = len(self._hosted[rank])
        memory = self._arenas[arena].memory[rank][position : position + (k - 1) * stride + d * dtype.itemsize]
        return torch.from_numpy(memory).view(dtype).as_strided((k, d), (stride // dtype.itemsize, 1))

    def _copy_stack(self, stack: Tensor, arena: int) -> Place:
        position, memory = self._arenas[arena].stage()
        k, d = stack.shape
        torch.from_numpy(memory[: k * d * stack.itemsize]).view(stack.dtype).view(k, d).copy_(stack)
        return arena, position, d * stack.itemsize

    def _copy_message(self, message: Message, arena: int) -> Place:
        """Copy packed rows there, behind a table of where each begins, at a whole word, and where it ends."""
        position, memory = self._arenas[arena].stage()
        k = self._rows
        ends = memory[: 16 * k].view(np.int64).reshape(k, 2)
        begin = 16 * k
        for row in range(k):
            packed = message.pack(row)
            end = begin + len(packed)
            if end > len(memory):
                raise ValueError(
                    f"{type(message).__name__}: {k} packed rows take more than the {len(memory)} bytes kept for them, "
                    f"which is twice the size of the stack"
                )
            memory[begin:end] = packed
            ends[row] = begin, end
            begin = end + -end % 8
        return arena, position, 0

    def _make_arena(self, row_bytes: int) -> int | None:
        communicator = self._communicator
        rows = sum(len(self._hosted[rank]) for rank in communicator.local_ranks)
        # Two stacks in turn and one being made; if that does not fit, touching the memory would kill the process.
        fits = np.array([3 * rows * row_bytes <= free_shared_memory()], np.uint8)
        everywhere = np.empty_like(fits)
        communicator.wait([communicator.host.Iallreduce(fits, everywhere, MPI.MIN)])
        if not everywhere[0]:
            if communicator.rank == communicator.local_ranks[0]:
                warnings.warn(
                    f"{DEVICE} has too little room for {rows} rows of {row_bytes} bytes: they go by MPI messages",
                    stacklevel=2,
                )
            return None
        self._arenas.append(Arena(communicator, self._board, self._rows, row_bytes))
        return len(self._arenas) - 1
