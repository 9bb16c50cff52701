"""The transport between processes of a host, which read each other's rows where they lie."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from algorithms.compressors import Message
from algorithms.numerics.compiled import COMPILED
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums.mixing import RowAddresses, Scaled, Sums, compiles
from gossip.network.sums.streaming import Trial
from gossip.network.transport import PLANS, STREAMED, Exchange, Rows, Site, Total, Wire, row_bytes_of
from gossip.network.transports.links import LinkedExchange, LinkingTransport
from gossip.network.transports.shared_memory.arena import SLOTS, STAGING, VIEWS
from gossip.network.transports.shared_memory.board import Board
from gossip.network.transports.shared_memory.exchange import Publication, SharedExchange
from gossip.network.transports.shared_memory.routes import Routes
from gossip.network.transports.shared_memory.stacks import NOWHERE, SMALLEST_ROW, Place, SharedStacks
from gossip.processes.mpi import MpiCommunicator
from gossip.spans import timed


@dataclass(frozen=True, eq=False)
class StackInPlace:
    """A stack that lies in shared memory, ready to be mixed with others that do."""

    routes: Routes
    """All within this host."""

    place: Place
    """Where it lies."""

    d: int
    """Its columns."""

    dtype: torch.dtype
    """Its precision."""

    row_bytes: int
    """Bytes of a row."""

    rows: Callable[[tuple[Place, ...]], RowAddresses]
    """Where all rows are that are summed, given where the other ranks have theirs."""


class SharedMemory:
    """A `Transport` between ranks that read each other's stacks where they lie, if they are on the same host.

    A stack that lies in memory from `empty`, as the results of `mix` do, is published as it is; others are copied
    there. Ranks wait for those that they read only, and for those that still read what they want to overwrite.

    Args:
        site: The nodes and processes.
        communicator: That of the site.
        between_hosts: Carries all else: what goes to other hosts, what shared memory has no room for, sums.
    """

    ahead = STAGING - 1

    def __init__(self, site: Site, communicator: MpiCommunicator, between_hosts: LinkingTransport) -> None:
        self._between_hosts = between_hosts
        self._board = Board(communicator, site.spans)
        self._stacks = SharedStacks(site, communicator, self._board)
        self._streamed = STREAMED // len(communicator.local_ranks)
        self._trials: defaultdict[int, Trial] = defaultdict(Trial)
        host = frozenset(communicator.local_ranks)
        self._routes = lru_cache(maxsize=PLANS)(lambda plan: Routes.build(plan, host))
        self._in_place = lru_cache(maxsize=VIEWS)(self._find_in_place)
        self._timed_sum = timed(site.spans, self.sum, "sum of rows", "compute")

    @property
    def wire(self) -> Wire:
        """See `Transport`. What other ranks of the host read counts like what is handed to MPI."""
        return self._between_hosts.wire

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> Exchange:
        """See `Transport`."""
        packed = isinstance(value, Message)
        row_bytes = value.d * value.dtype.itemsize if isinstance(value, Message) else row_bytes_of(value)
        # Of a message at most values with indices, and some room.
        room = 2 * row_bytes + SMALLEST_ROW if packed else row_bytes
        arena = self._stacks.arena(room) if value.device.type == "cpu" else None
        if arena is None:
            return self._between_hosts.begin(value, plan, posted)
        routes = self._routes(plan)
        lane = int(posted)
        number = self._publish(lane, self._provide(value, arena, routes), routes.readers)
        sums = routes.sums_of_packed if packed else routes.sums
        local = SharedExchange(plan, sums, value, Publication(lane, number, routes.read), self._board, self._stacks)
        if not routes.remote:
            return local
        remote = self._between_hosts.link(value, routes.remote_send, routes.remote_receive, posted)
        return LinkedExchange(plan, sums, value, [local, remote])

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> Tensor | None:
        """See `Transport`. By addresses: of short stacks, objects for all that is read take longer than the sum."""
        if not compiles(value):
            return None
        found = self._in_place(plan, value.data_ptr(), value.shape, value.stride(), value.dtype)
        if found is None:
            return None
        routes, board = found.routes, self._board
        self.wire.count(routes.local_rows * found.row_bytes, len(routes.readers))
        number = self._publish(0, found.place, routes.readers)
        rows = found.rows(tuple([board.place(rank, 0, number) for rank in routes.read]))
        mixed = self.empty(found.d, found.dtype)
        self._timed_sum(routes.sums, mixed, rows, plus)
        board.finish(0, number, routes.read)
        return mixed

    def sum(
        self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None
    ) -> None:
        """See `Transport`."""
        if not COMPILED <= out.nbytes < self._streamed:
            sums.into(out, sources, plus, stream=out.nbytes >= self._streamed)
            return
        trial = self._trials[out.nbytes]
        began = time.perf_counter()
        sums.into(out, sources, plus, stream=trial.stream)
        trial.took(time.perf_counter() - began)

    def total(self, value: Tensor, posted: bool) -> Total:
        """See `Transport`."""
        return self._between_hosts.total(value, posted)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """See `Transport`."""
        return self._between_hosts.rows(value, nodes)

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        """See `Transport`."""
        return self._between_hosts.packed_rows(message, nodes)

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """See `Transport`. Collective, as a host makes room for a new size together."""
        stack = self._stacks.empty(d, dtype) if device is None or device.type == "cpu" else None
        return self._between_hosts.empty(d, dtype, device) if stack is None else stack

    def exposed(self, stack: Tensor) -> bool:
        """See `Transport`: what has been published in place, until those who read it have."""
        return self._stacks.exposed(stack.data_ptr())

    def advance(self) -> None:
        """See `Transport`."""
        self._between_hosts.advance()

    def abandon(self) -> None:
        """See `Transport`."""
        self._between_hosts.abandon()

    def close(self) -> None:
        """See `Transport`. Stacks that are still referred to keep their memory until the process ends."""
        self._between_hosts.close()
        self._in_place.cache_clear()
        self._stacks.close()
        self._board.free()

    def _provide(self, value: Rows, arena: int, routes: Routes) -> Place:
        """Where the readers find the local rows, which are brought there if need be."""
        if isinstance(value, Message):
            sizes = value.nbytes.numpy()
            size = sum(int(sizes[rows].sum()) for rows in routes.local_send.values())
        else:
            size = routes.local_rows * row_bytes_of(value)
        self.wire.count(size, len(routes.readers))
        if not routes.readers:
            return NOWHERE
        if isinstance(value, Message):
            return self._stacks.stage_message(value, arena)
        return self._stacks.place(value, arena)

    def _publish(self, lane: int, place: Place, readers: Sequence[int]) -> int:
        """Tell these ranks where in this one's memory something lies; gives its number in the lane."""
        number = self._board.publish(lane, place, readers)
        if readers:
            self._stacks.published(place, readers, lane, number)
        return number

    def _find_in_place(
        self, plan: HaloPlan, address: int, shape: torch.Size, stride: tuple[int, int], dtype: torch.dtype
    ) -> StackInPlace | None:
        # First, as other ranks make it in the same exchange, and all go by MPI if there is no room for it.
        arena = self._stacks.arena(shape[1] * dtype.itemsize)
        routes, found = self._routes(plan), self._stacks.find(address)
        if arena is None or found is None or stride[1] != 1 or routes.remote:
            return None
        row_stride = stride[0] * dtype.itemsize

        @lru_cache(maxsize=SLOTS)
        def rows(places: tuple[Place, ...]) -> RowAddresses:
            others = [
                (self._stacks.address(rank, place), place[2]) for rank, place in zip(plan.sources, places, strict=True)
            ]
            return routes.sums.addresses([(address, row_stride), *others])

        return StackInPlace(routes, (*found, row_stride), shape[1], dtype, shape[1] * dtype.itemsize, rows)
