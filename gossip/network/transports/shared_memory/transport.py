"""The network between processes of one host, which read each other's rows where they lie; MPI between hosts."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from algorithms.network import Posted, Value, WeightedEdges
from algorithms.numerics.sums import COMPILED
from gossip.network.network import PLANS, Exchange, Rows
from gossip.network.plans.halo import HaloPlan, Indices
from gossip.network.sums.mixing import Places, Scaled, Sums, compiles
from gossip.network.sums.streaming import Trial
from gossip.network.transports.peer_to_peer.transport import LinkedExchange, PeerToPeerNetwork
from gossip.network.transports.shared_memory.arena import SLOTS, STAGING, VIEWS, Arena
from gossip.network.transports.shared_memory.board import Board
from gossip.network.transports.shared_memory.windows import DEVICE, free_shared_memory
from gossip.processes.mpi import MpiCommunicator
from topologies import Schedule, Topology

SMALLEST_ROW = 1 << 12  # bytes


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
        own: Rows,
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
    def rows(self) -> Mapping[int, Rows]:
        """Source rank -> (rows, d), as `Link` has it."""
        return dict(zip(self._ranks, self.sources[1:], strict=True))

    def _rows_at(self, rank: int, place: tuple[int, int, int]) -> Rows:
        own = self.sources[0]
        if isinstance(own, Message):
            return own.of(self._network.packed(rank, place, self.plan.receive[rank].tolist()))
        return self._network.view(rank, place, self.columns, own.dtype)


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


Place = tuple[int, int, int]  # arena, position, bytes from one row to the next


@dataclass(frozen=True, eq=False)
class Direct:
    """A stack that lies in shared memory, ready to be mixed with others that do.

    Attributes:
        plan: Who reads what,
        routes: all of it in shared memory.
        place: Where it lies,
        d: with so many columns
        dtype: of this type.
        rows: Where all rows are that are summed, for the places of what the other ranks have published.
    """

    plan: HaloPlan
    routes: Routes
    place: Place
    d: int
    dtype: torch.dtype
    rows: Callable[[tuple[Place, ...]], Places]


class SharedMemoryNetwork(PeerToPeerNetwork):
    """A contiguous block of nodes on each rank; ranks of a host read each other's stacks where they lie.

    A stack that lies in memory from `empty`, as the results of `mix` do, is published as it is; others are copied
    there. Ranks wait for those that they read only, and for those that still read what they want to overwrite.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes, rank r of which hosts the r-th block of nodes.
        seed: Seed of the random draws.
    """

    def __init__(
        self, topology: Schedule, communicator: MpiCommunicator, hosted: Sequence[Sequence[int]], seed: int = 0
    ) -> None:
        super().__init__(topology, communicator, hosted, seed)
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
            k = len(self._hosted[rank])
            memory = self._arenas[arena].memory[rank][position : position + (k - 1) * stride + d * dtype.itemsize]
            return torch.from_numpy(memory).view(dtype).as_strided((k, d), (stride // dtype.itemsize, 1))

        @lru_cache(maxsize=VIEWS)
        def direct(
            topology: Topology, address: int, shape: torch.Size, stride: tuple[int, int], dtype: torch.dtype
        ) -> Direct | None:
            # First, as other ranks make it in the same exchange, and all go by MPI if there is no room for it.
            arena = self._arena(shape[1] * dtype.itemsize)
            plan, _ = self._plan_of(topology)
            found = self._find(address)
            if arena is None or found is None or stride[1] != 1 or routes(plan).remote:
                return None
            place = *found, stride[0] * dtype.itemsize

            @lru_cache(maxsize=SLOTS)
            def rows(places: tuple[Place, ...]) -> Places:
                others = [
                    (self._arenas[arena].address(rank) + position, stride)
                    for rank, (arena, position, stride) in zip(plan.sources, places, strict=True)
                ]
                return routes(plan).sums.places([(address, place[2]), *others])

            return Direct(plan, routes(plan), place, shape[1], dtype, rows)

        self._routes, self._views, self._direct = routes, view, direct

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        arena = self._arena(d * dtype.itemsize) if device is None or device.type == "cpu" else None
        stack = None if arena is None else self._arenas[arena].stack(len(self.nodes), d, dtype)
        return super().empty(d, dtype, device) if stack is None else stack

    def mix(
        self, value: Tensor | Message | Posted[Any], plus: Scaled | None = None, *, over: WeightedEdges | None = None
    ) -> Tensor:
        if isinstance(value, Tensor) and over is None and not self._posted and compiles(value):
            direct = self._direct(self._topology(), value.data_ptr(), value.shape, value.stride(), value.dtype)
            if direct is not None:
                return self._mix_directly(direct, plus)
        return super().mix(value, plus, over=over)

    def post(self, value: Value) -> Posted[Value]:
        if len(self._posted) < STAGING - 1:
            return super().post(value)
        return Posted(value)  # more of them wait until they are mixed

    def exposed(self, stack: Tensor) -> bool:
        # What lies in shared memory may be published in place, block by block.
        return super().exposed(stack) or self._find(stack.data_ptr()) is not None

    def view(self, rank: int, place: tuple[int, int, int], d: int, dtype: torch.dtype) -> Tensor:
        """(rows, d): a stack that a rank of this host has published."""
        return self._views(rank, place, d, dtype)

    def packed(self, rank: int, place: tuple[int, int, int], rows: Sequence[int]) -> list[Bytes]:
        """Some of the packed rows that a rank of this host has published."""
        arena, position, _ = place
        memory = self._arenas[arena].memory[rank][position:]
        ends = memory[: 16 * len(self._hosted[rank])].view(np.int64).reshape(-1, 2).tolist()
        return [memory[slice(*ends[row])] for row in rows]

    def close(self) -> None:
        super().close()
        # Stacks that are still referred to keep their memory until the process ends.
        communicator = self.communicator
        self._views.cache_clear()
        self._direct.cache_clear()
        occupied = np.array([arena.occupied for arena in self._arenas], np.uint8)
        anywhere = np.empty_like(occupied)
        communicator.wait([communicator.host.Iallreduce(occupied, anywhere, MPI.MAX)])
        for arena in [arena for arena, kept in zip(self._arenas, anywhere, strict=True) if not kept]:
            arena.free()
        self._arenas.clear()
        self.board.free()

    def _mix_directly(self, direct: Direct, plus: Scaled | None) -> Tensor:
        """What `mix` does, by addresses: of short stacks, objects for all that is read take longer than the sum."""
        d, dtype, routes = direct.d, direct.dtype, direct.routes
        self._count(d * dtype.itemsize, direct.plan.out_degree)
        self._count_wire(routes.local_rows * d * dtype.itemsize, len(routes.readers))
        number = self._publish(0, direct.place, routes.readers)
        rows = direct.rows(tuple([self.board.place(rank, 0, number) for rank in routes.read]))
        mixed = self.empty(d, dtype)
        self._sum(routes.sums, mixed, rows, plus)
        self.board.finish(0, number, routes.read)
        return mixed

    def _publish(self, lane: int, place: tuple[int, int, int], readers: Sequence[int]) -> int:
        """Tell these ranks where in this one's memory something lies; gives its number in the lane."""
        number = self.board.publish(lane, place, readers)
        if readers:
            self._arenas[place[0]].published(place[1], readers, lane, number)
        return number

    def _begin(self, value: Tensor | Message, posted: bool) -> Exchange:
        packed = isinstance(value, Message)
        row_bytes = (value.d if isinstance(value, Message) else value.shape[1]) * value.dtype.itemsize
        # Of a message at most values with indices, and some room.
        room = 2 * row_bytes + SMALLEST_ROW if packed else row_bytes
        arena = self._arena(room) if value.device.type == "cpu" else None
        if arena is None:
            return super()._begin(value, posted)
        plan, sums = self._plan()
        routes = self._routes(plan)
        readers = routes.readers
        place = (0, 0, 0)
        if not isinstance(value, Message):
            if readers:
                place = self._find_or_stage(value, arena)
            self._count(row_bytes, plan.out_degree)
            self._count_wire(routes.local_rows * row_bytes, len(readers))
        else:
            if readers:
                place = self._stage_message(value, arena)
            sizes = value.nbytes.numpy()
            self._count(sizes, plan.out_degree)
            self._count_wire(sum(int(sizes[rows].sum()) for rows in routes.local_send.values()), len(readers))
        lane = int(posted)
        number = self._publish(lane, place, readers)
        sums = sums if packed else routes.sums
        local = SharedExchange(self, plan, sums, value, routes.read, lane, number)
        if not routes.remote:
            return local
        remote = self._link(value, plan, posted, routes.remote_send, routes.remote_receive)
        return LinkedExchange(plan, sums, value, [local, remote])

    def _sum(self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | Places, plus: Scaled | None) -> None:
        if not COMPILED <= out.nbytes < self._streamed:
            sums.into(out, sources, plus, stream=out.nbytes >= self._streamed)
            return
        trial = self._trials[out.nbytes]
        began = time.perf_counter()
        sums.into(out, sources, plus, stream=trial.stream)
        trial.took(time.perf_counter() - began)

    def _find(self, address: int) -> tuple[int, int] | None:
        """(arena, position) of what lies at this address, if that is in shared memory."""
        for number, arena in enumerate(self._arenas):
            position = arena.find(address)
            if position is not None:
                return number, position
        return None

    def _find_or_stage(self, stack: Tensor, arena: int) -> tuple[int, int, int]:
        found = self._find(stack.data_ptr())
        row, column = stack.stride()
        if found is not None and column == 1:
            return *found, row * stack.itemsize
        position, memory = self._arenas[arena].stage()
        k, d = stack.shape
        torch.from_numpy(memory[: k * d * stack.itemsize]).view(stack.dtype).view(k, d).copy_(stack)
        return arena, position, d * stack.itemsize

    def _stage_message(self, message: Message, arena: int) -> tuple[int, int, int]:
        """Copy packed rows there, behind a table of where each begins, at a whole word, and where it ends."""
        position, memory = self._arenas[arena].stage()
        k = len(self.nodes)
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

    def _arena(self, row_bytes: int) -> int | None:
        """The number of the arena for rows of this size, made where first asked for; None if there is no room."""
        size = max(SMALLEST_ROW, 1 << (row_bytes - 1).bit_length())
        if size not in self._arena_of_size:
            self._arena_of_size[size] = self._make_arena(size)
        return self._arena_of_size[size]

    def _make_arena(self, row_bytes: int) -> int | None:
        communicator = self.communicator
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
        self._arenas.append(Arena(communicator, self.board, len(self.nodes), row_bytes))
        return len(self._arenas) - 1
