"""The network between processes of one host, which read each other's rows where they lie; MPI between hosts."""

from __future__ import annotations

import math
import os
import time
import warnings
import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from mpi4py import MPI
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire import Bytes
from gossip.network import futex
from gossip.network.in_process import PLANS, Exchange
from gossip.network.mixing import COMPILED, Scaled, Sums
from gossip.network.mpi import MpiCommunicator
from gossip.network.peer_to_peer import LinkedExchange, PeerToPeerNetwork
from gossip.network.plan import HaloPlan, Indices
from gossip.network.streaming import Trial
from topologies import Schedule

LANES = 2  # what is mixed at once, and what is posted ahead, each completed in its own order
SLOTS = 8  # stacks of one size that a rank has room for; pages that are never written take no memory
STAGING = 3  # of these, for copies of what was made elsewhere: of all but one it may be posted, not read by anyone yet
ENTRIES = 32  # publications of a lane whose place is on the board
NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}  # of those that NumPy has as well
VIEWS = 1024  # of other ranks' stacks, kept ready
SMALLEST_ROW = 1 << 12  # bytes
SPIN = 3e-4  # seconds of looking without sleep, where every rank has a core: about what it costs to wake up
LONGEST_WAIT = 1.0  # seconds asleep before another look

DEVICE = "/dev/shm"  # where the memory comes from on Linux

LINE = 8  # words of 8 bytes; counters that different ranks write lie on different cache lines
# Where the words of a rank lie on its board.
PUBLISHED, READ, ASLEEP, PLACES = 0, LANES * LINE, 2 * LANES * LINE, (2 * LANES + 1) * LINE
ENTRY = 4  # words


class Board:
    """Where each rank says how many stacks it has published and read, and where the last ones lie.

    A lane is a sequence of exchanges, the same on all ranks: the s-th publication of a rank belongs to the s-th
    exchange. A rank that waits for a counter of another sleeps in the kernel until that changes.
    """

    def __init__(self, communicator: MpiCommunicator) -> None:
        self._communicator = communicator
        self._all_local = len(communicator.local_ranks) == communicator.size
        self._window, memory = _allocate(communicator, 8 * (PLACES + LANES * ENTRIES * ENTRY))
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
        if words[word] < value:
            if self._all_local and futex.AVAILABLE:
                self._sleep(words, word, value, self._addresses[rank] + 8 * word)
            else:  # messages to and from other hosts must go on meanwhile
                mpi = self._communicator.mpi
                self._communicator.poll(lambda: words[word] >= value or bool(mpi.Iprobe() and False))

    def _sleep(self, words: memoryview, word: int, value: int, address: int) -> None:
        if not self._communicator.crowded:
            spin_until = time.perf_counter() + SPIN
            while words[word] < value and time.perf_counter() < spin_until:
                pass
        self._mine[ASLEEP] = 1
        self._sync()
        while (seen := words[word]) < value:
            futex.wait(address, seen & 0xFFFFFFFF, LONGEST_WAIT)  # the low half of the word comes first
        self._mine[ASLEEP] = 0


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
        self._window, self.memory = _allocate(communicator, SLOTS * self.slot_bytes)
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

    def find(self, stack: Tensor) -> int | None:
        """Where in this rank's memory a stack lies; None if elsewhere."""
        position = stack.data_ptr() - self._address
        return position if 0 <= position < len(self._own) else None

    def published(self, position: int, readers: Sequence[int], lane: int, number: int) -> None:
        """What lies at this position may not be overwritten before these ranks have read it."""
        slot = self._slots[position // self.slot_bytes]
        if len(slot.publications) >= ENTRIES:
            self._is_read(slot)  # forgets what is
        slot.publications.append((readers, lane, number))

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


class SharedExchange(Exchange):
    """An exchange with other ranks of the host, whose stacks are read where they lie.

    Args:
        network: Has published the local rows.
        plan: Who reads what.
        sums: How it is summed.
        own: (k, d), the local rows.
        ranks: The ranks to read from.
        lane: Where on the board,
        number: as which publication.
    """

    def __init__(
        self,
        network: SharedMemoryNetwork,
        plan: HaloPlan,
        sums: Sums,
        own: Tensor,
        ranks: Sequence[int],
        lane: int,
        number: int,
    ) -> None:
        super().__init__(plan, sums, own)
        self._network = network
        self._ranks = ranks
        self._lane = lane
        self._number = number

    def wait(self, stop: int) -> None:
        for rank in self._ranks[len(self.sources) - 1 :]:
            place = self._network.board.place(rank, self._lane, self._number)
            self.sources.append(self._rows_at(rank, place))

    def finish(self) -> None:
        if len(self.sources) <= len(self._ranks):
            self.wait(self.columns)
        self._network.board.finish(self._lane, self._number, self._ranks)

    @property
    def rows(self) -> Mapping[int, Tensor]:
        """As of a link."""
        return dict(zip(self._ranks, self.sources[1:], strict=True))

    def _rows_at(self, rank: int, place: tuple[int, int, int]) -> Tensor:
        own = self.sources[0]
        return self._network.view(rank, place, self.columns, own.dtype)


class SharedMessages(SharedExchange):
    """Packed messages that lie in the shared memory of other ranks, decoded from there.

    Args:
        message: What this rank has published.
        others: See `SharedExchange`.
    """

    def __init__(self, message: Message, *others: Any) -> None:
        super().__init__(*others)
        self._message = message

    def _rows_at(self, rank: int, place: tuple[int, int, int]) -> Tensor:
        table, memory = self._network.packed(rank, place)
        rows = self.plan.receive[rank].tolist()
        return self._message.decode([memory[table[r] : table[r + 1]] for r in rows])


@dataclass(frozen=True)
class Routes:
    """Which part of a plan goes through shared memory and which by MPI, and how what comes in place is summed."""

    local_send: Mapping[int, Indices]
    local_receive: Mapping[int, Indices]
    remote_send: Mapping[int, Indices]
    remote_receive: Mapping[int, Indices]
    sums: Sums

    @cached_property
    def readers(self) -> list[int]:
        """The ranks that read this one's shared memory."""
        return list(self.local_send)

    @cached_property
    def read(self) -> list[int]:
        """The ranks whose shared memory this one reads."""
        return list(self.local_receive)

    @cached_property
    def remote(self) -> bool:
        """Whether there is anything for MPI to do."""
        return bool(self.remote_send or self.remote_receive)

    @cached_property
    def local_rows(self) -> int:
        """How many rows they read."""
        return sum(map(len, self.local_send.values()))


class SharedMemoryNetwork(PeerToPeerNetwork):
    """A contiguous block of nodes on each rank; ranks of a host read each other's stacks where they lie.

    A stack that lies in memory from `empty`, as the results of `mix` do, is published as it is; others are copied
    there. Ranks wait for those that they read only, and for those that still read what they want to overwrite.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes, rank r of which hosts the r-th block of nodes.
        seed: Seed of the random draws.
    """

    def __init__(self, topology: Schedule, communicator: MpiCommunicator, seed: int = 0) -> None:
        super().__init__(topology, communicator, seed)
        self.board = Board(communicator)
        self._local = set(communicator.local_ranks)
        self._all_local = len(self._local) == communicator.size
        self._arenas: list[Arena] = []
        self._arena_of_size: dict[int, int | None] = {}
        self._trials: defaultdict[int, Trial] = defaultdict(Trial)

        @lru_cache(maxsize=PLANS)
        def routes(plan: HaloPlan) -> Routes:
            local = np.array([True, *(source in self._local for source in plan.sources)])
            rows = np.where(local[plan.owners], plan.rows, plan.places)

            def part(ranks: Mapping[int, Indices], here: bool) -> dict[int, Indices]:
                return {rank: needed for rank, needed in ranks.items() if (rank in self._local) == here}

            return Routes(
                local_send=part(plan.send, True),
                local_receive=part(plan.receive, True),
                remote_send=part(plan.send, False),
                remote_receive=part(plan.receive, False),
                sums=Sums(plan, rows),
            )

        @lru_cache(maxsize=VIEWS)
        def view(rank: int, place: tuple[int, int, int], d: int, dtype: torch.dtype) -> Tensor:
            arena, position, stride = place
            k = len(self._blocks[rank])
            memory = self._arenas[arena].memory[rank][position : position + (k - 1) * stride + d * dtype.itemsize]
            return torch.from_numpy(memory).view(dtype).as_strided((k, d), (stride // dtype.itemsize, 1))

        self._routes, self._views = routes, view

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        arena = self._arena(d * dtype.itemsize) if device is None or device.type == "cpu" else None
        stack = None if arena is None else self._arenas[arena].stack(len(self.nodes), d, dtype)
        return super().empty(d, dtype, device) if stack is None else stack

    def post(self, value: Tensor | Message) -> None:
        if len(self._posted) < STAGING - 1:  # more of them wait until they are mixed
            super().post(value)

    def exposed(self, stack: Tensor) -> bool:
        # What lies in shared memory may be published in place, block by block.
        return super().exposed(stack) or self._find(stack) is not None

    def view(self, rank: int, place: tuple[int, int, int], d: int, dtype: torch.dtype) -> Tensor:
        """(rows, d): a stack that a rank of this host has published."""
        return self._views(rank, place, d, dtype)

    def packed(self, rank: int, place: tuple[int, int, int]) -> tuple[list[int], Bytes]:
        """(where each row begins, the bytes) of messages that a rank of this host has published."""
        arena, position, _ = place
        memory = self._arenas[arena].memory[rank][position:]
        k = len(self._blocks[rank])
        return memory[: 8 * (k + 1)].view(np.int64).tolist(), memory

    def close(self) -> None:
        super().close()
        # Stacks that are still referred to keep their memory until the process ends.
        communicator = self.communicator
        self._views.cache_clear()
        occupied = np.array([arena.occupied for arena in self._arenas], np.uint8)
        anywhere = np.empty_like(occupied)
        communicator.wait([communicator.host.Iallreduce(occupied, anywhere, MPI.MAX)])
        for arena in [arena for arena, kept in zip(self._arenas, anywhere, strict=True) if not kept]:
            arena.free()
        self._arenas.clear()
        self.board.free()

    def _begin(self, value: Tensor | Message, posted: bool) -> Exchange:
        message = value if isinstance(value, Message) else None
        own = value.dense() if isinstance(value, Message) else value
        row_bytes = own.shape[1] * own.itemsize
        # Of a message at most values with indices, and some room.
        arena = self._arena(row_bytes if message is None else 2 * row_bytes + SMALLEST_ROW) if own.is_cpu else None
        if arena is None:
            return super()._begin(value, posted)
        plan, sums = self._plan()
        routes = self._routes(plan)
        readers = routes.readers
        place = (0, 0, 0)
        if message is None:
            if readers:
                place = self._find_or_stage(own, arena)
            self._count(row_bytes, plan.out_degree)
            self._count_wire(routes.local_rows * row_bytes, len(readers))
        else:
            if readers:
                place = self._stage_message(message, arena)
            sizes = message.nbytes.numpy()
            self._count(sizes, plan.out_degree)
            self._count_wire(sum(int(sizes[rows].sum()) for rows in routes.local_send.values()), len(readers))
        lane = int(posted)
        number = self.board.publish(lane, place, readers)
        if readers:
            self._arenas[place[0]].published(place[1], readers, lane, number)
        local: SharedExchange
        if message is None:
            sums = routes.sums
            local = SharedExchange(self, plan, sums, own, routes.read, lane, number)
        else:
            local = SharedMessages(message, self, plan, sums, own, routes.read, lane, number)
        if not routes.remote:
            return local
        remote = self._link(value, plan, posted, routes.remote_send, routes.remote_receive)
        return LinkedExchange(plan, sums, own, [local, remote])

    def _sum(self, sums: Sums, out: Tensor, sources: Sequence[Tensor], plus: Scaled | None) -> None:
        if not COMPILED <= out.nbytes < self._streamed:
            sums.into(out, sources, plus, stream=out.nbytes >= self._streamed)
            return
        trial = self._trials[out.nbytes]
        began = time.perf_counter()
        sums.into(out, sources, plus, stream=trial.stream)
        trial.took(time.perf_counter() - began)

    def _find(self, stack: Tensor) -> tuple[int, int] | None:
        """(arena, position) of a stack that lies in shared memory already."""
        for number, arena in enumerate(self._arenas):
            position = arena.find(stack)
            if position is not None:
                return number, position
        return None

    def _find_or_stage(self, stack: Tensor, arena: int) -> tuple[int, int, int]:
        found = self._find(stack)
        row, column = stack.stride()
        if found is not None and column == 1:
            return *found, row * stack.itemsize
        position, memory = self._arenas[arena].stage()
        k, d = stack.shape
        torch.from_numpy(memory[: k * d * stack.itemsize]).view(stack.dtype).view(k, d).copy_(stack)
        return arena, position, d * stack.itemsize

    def _stage_message(self, message: Message, arena: int) -> tuple[int, int, int]:
        position, memory = self._arenas[arena].stage()
        k = len(self.nodes)
        table = memory[: 8 * (k + 1)].view(np.int64)
        table[0] = 8 * (k + 1)
        for row in range(k):
            packed = message.pack(row)
            table[row + 1] = table[row] + len(packed)
            if table[row + 1] > len(memory):
                raise ValueError(
                    f"{type(message).__name__}: {k} packed rows take more than the {len(memory)} bytes kept for them, "
                    f"which is twice the size of the stack"
                )
            memory[table[row] : table[row + 1]] = packed
        return arena, position, 0

    def _arena(self, row_bytes: int) -> int | None:
        """The number of the arena for rows of this size, made where first asked for; None if there is no room."""
        size = max(SMALLEST_ROW, 1 << (row_bytes - 1).bit_length())
        if size not in self._arena_of_size:
            self._arena_of_size[size] = self._make_arena(size)
        return self._arena_of_size[size]

    def _make_arena(self, row_bytes: int) -> int | None:
        communicator = self.communicator
        rows = sum(len(self._blocks[rank]) for rank in communicator.local_ranks)
        # Two stacks in turn and one being made; if that does not fit, touching the memory would kill the process.
        fits = np.array([3 * rows * row_bytes <= _free_shared_memory()], np.uint8)
        everywhere = np.empty_like(fits)
        communicator.wait([communicator.host.Iallreduce(fits, everywhere, MPI.MIN)])
        if not everywhere[0]:
            if communicator.rank == communicator.local_ranks[0]:
                warnings.warn(
                    f"{DEVICE} has too little room for {rows} rows of {row_bytes} bytes: they go by MPI messages",
                    stacklevel=2,
                )
            return None
        self._arenas.append(Arena(communicator, self.board, len(self.nodes), row_bytes))
        return len(self._arenas) - 1


def _free_shared_memory() -> float:
    """Bytes, as far as can be told."""
    if not os.path.isdir(DEVICE):
        return math.inf
    room = os.statvfs(DEVICE)
    return room.f_bavail * room.f_frsize


def _allocate(communicator: MpiCommunicator, size: int) -> tuple[MPI.Win, dict[int, NDArray[np.uint8]]]:
    """A window with `size` bytes of this rank, and the memory of every rank of the host; collective over the host."""
    communicator.wait([communicator.host.Ibarrier()])  # the call itself spins
    window = MPI.Win.Allocate_shared(size, 1, comm=communicator.host)
    window.Lock_all(MPI.MODE_NOCHECK)
    memory = {rank: np.asarray(window.Shared_query(i)[0], np.uint8) for i, rank in enumerate(communicator.local_ranks)}
    return window, memory
