"""The network between MPI processes, by point-to-point messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from algorithms.network import Posted, Value, WeightedEdges
from gossip.network.network import Exchange, InProcessNetwork, Rows, T
from gossip.network.plans.halo import HaloPlan, Indices, owners_of
from gossip.network.plans.tree import Total, TreePlan
from gossip.network.sums.memory import as_bytes, in_whole_pages
from gossip.network.sums.mixing import Sums
from gossip.network.transports.peer_to_peer.progress import Progress
from gossip.network.transports.peer_to_peer.tree_total import TreeTotal
from gossip.processes.mpi import MpiCommunicator
from topologies import Schedule

STACK, MESSAGE = 1, 2  # tags, which keep the kinds of traffic apart
POSTED = 8  # added to the tag of what is posted ahead, which later exchanges may overtake
TOTALS, TOTALS_AT_ONCE = 64, 1024  # first tag of the sums over all nodes, and how many are kept apart
SMALL = 1 << 16  # bytes to one rank up to which a copy costs less than setting up a request does
SEGMENT = 1 << 23  # bytes of a row that are summed while the next ones arrive
IN_FLIGHT = 2  # segments
IDLE_CHANNELS = 8
STACKS = 8  # addresses from which a channel is ready to send: algorithms use a few in turn


class Link(Protocol):
    """One way in which rows come from some of the other ranks, in one exchange."""

    @property
    def rows(self) -> Mapping[int, Rows]:
        """Source rank -> (rows, d), the rows that it sends, complete up to the columns waited for."""

    @property
    def segment(self) -> int:
        """How many columns arrive at a time."""

    def wait(self, stop: int) -> None:
        """Wait until the columns before `stop` are there."""

    def finish(self) -> None:
        """`rows` will not be read again; wait until what was sent may be changed."""


class LinkedExchange(Exchange):
    """An exchange with other processes, over one or more links."""

    def __init__(self, plan: HaloPlan, sums: Sums, own: Rows, links: Sequence[Link]) -> None:
        super().__init__(plan, sums, own)
        self._own = own
        self._links = links
        self.segment = min([self.segment, *(link.segment for link in links)])

    def wait(self, stop: int) -> None:
        rows: dict[int, Rows] = {}
        for link in self._links:
            link.wait(stop)
            rows.update(link.rows)
        self.sources = [self._own, *[rows[source] for source in self.plan.sources]]

    def finish(self) -> None:
        for link in self._links:
            link.finish()


class PeerToPeerNetwork(InProcessNetwork):
    """Some of the nodes on each rank, linked by nonblocking point-to-point messages.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes.
        hosted: The nodes that each rank hosts, ascending.
        seed: Seed of the random draws.
    """

    def __init__(
        self, topology: Schedule, communicator: MpiCommunicator, hosted: Sequence[Sequence[int]], seed: int = 0
    ) -> None:
        super().__init__(topology, seed, hosted, communicator.rank)
        self.communicator = communicator
        communicator.blocks = hosted
        self._streamed //= len(communicator.local_ranks)
        self._tree = TreePlan.build(self._hosted)
        self._idle: list[Channel] = []
        self._sends_in_a_mean = self._tree.sends(communicator.rank)
        self._totals = 0  # begun so far, the same number on all ranks
        self._progress = Progress(communicator, self._advance)

    @property
    def hosts(self) -> Sequence[int]:
        hosts: list[int] = self.communicator.hosts[owners_of(self._hosted)].tolist()
        return hosts

    def post(self, value: Value) -> Posted[Value]:
        posted = super().post(value)
        self._progress.resume()
        return posted

    def _begin(self, value: Tensor | Message, posted: bool) -> Exchange:
        plan, sums = self._plan()
        self._count_sent(value, plan)
        return LinkedExchange(plan, sums, value, [self._link(value, plan, posted, plan.send, plan.receive)])

    def _link(
        self,
        value: Tensor | Message,
        plan: HaloPlan,
        posted: bool,
        send: Mapping[int, Indices],
        receive: Mapping[int, Indices],
    ) -> Link:
        """Send what these ranks need of the value and get ready for what these others send."""
        if isinstance(value, Message):
            return self._message_link(value, posted, send, receive)
        self._count_wire(sum(map(len, send.values())) * value.shape[1] * value.itemsize, len(send))
        return self._channel(value, posted, send, receive).start(value)

    def _channel(
        self, value: Tensor, posted: bool, send: Mapping[int, Indices], receive: Mapping[int, Indices]
    ) -> Channel:
        for channel in self._idle:
            if channel.suits(value, posted, send, receive):
                self._idle.remove(channel)
                return channel
        # Both ends must divide a message alike, so this must not depend on the rank. What is posted travels whole.
        segmented = self.n == self.communicator.size and not posted
        return Channel(self.communicator, self._retire, value, posted, send, receive, segmented)

    def _retire(self, channel: Channel) -> None:
        self._idle.append(channel)
        if len(self._idle) > IDLE_CHANNELS:
            self._idle.pop(0).free()

    def _message_link(
        self, message: Message, posted: bool, send: Mapping[int, Indices], receive: Mapping[int, Indices]
    ) -> MessageLink:
        packed = {row: message.pack(row) for row in {row for needed in send.values() for row in needed.tolist()}}
        tag = MESSAGE + POSTED * posted
        requests = {}
        for target, needed in send.items():
            buffer = np.concatenate([packed[row] for row in needed.tolist()])
            self._count_wire(len(buffer))
            requests[target] = self.communicator.mpi.Isend(buffer, target, tag)
        return MessageLink(self.communicator, message, receive, requests, tag)

    def _count_wire(self, size: int, messages: int = 1) -> None:
        self._traffic.wire_bytes += size
        self._traffic.wire_messages += messages

    def _exchange(self, value: Tensor | Message | Posted[Any], over: WeightedEdges | None = None) -> Exchange:
        exchange = super()._exchange(value, over)
        self._pause_if_idle()
        return exchange

    def _pause_if_idle(self) -> None:
        if not self._posted and not self._posted_means:
            self._progress.pause()

    def _from_root(self, function: Callable[[], T]) -> T:
        return self.communicator.from_root(function)

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        posted = super().post_mean(value)
        self._progress.resume()
        return posted

    def _total(self, value: Tensor | Message | Posted[Tensor]) -> Total:
        total = super()._total(value)
        self._pause_if_idle()
        return total

    def _begin_total(self, value: Tensor) -> Total:
        self._count(value.shape[1] * value.itemsize, self._sent_in_a_mean)
        self._count_wire(self._sends_in_a_mean * value.shape[1] * value.itemsize, self._sends_in_a_mean)
        self._totals += 1
        tag = TOTALS + self._totals % TOTALS_AT_ONCE
        return TreeTotal(value, self._tree, self.nodes, self.communicator, tag)

    def _advance(self) -> None:
        """Let the averages under way go on."""
        for _, total in tuple(self._posted_means):
            assert isinstance(total, TreeTotal)
            total.advance()

    def finish_step(self) -> None:
        super().finish_step()
        self._advance()

    def all_rows(self, value: Tensor) -> Tensor:
        rows = torch.empty(self.n, value.shape[1], dtype=value.dtype)
        counts = [len(nodes) * value[0].nbytes for nodes in self._hosted]
        mine = as_bytes(value.cpu().contiguous())
        self.communicator.wait([self.communicator.mpi.Iallgatherv(mine, [as_bytes(rows), counts, None, MPI.BYTE])])
        order = np.concatenate(self._hosted)
        if (np.diff(order) < 0).any():
            rows = rows[np.argsort(order)]
        return rows.to(value.device)

    def abandon(self) -> None:
        """Leave what is under way as it is: other ranks are gone."""
        self._progress.stop()

    def close(self) -> None:
        super().close()
        self._progress.stop()
        while self._idle:
            self._idle.pop().free()


class Channel:
    """Buffers and persistent requests for stacks of one shape, to and from the same ranks, used again and again.

    The rows that come are received where they are read. Rows to send go straight from the stack if they follow each
    other there; if they are few bytes, a copy of them goes, by a persistent request.

    On a GPU, rows travel from and to its memory if the MPI library can, otherwise through pinned memory of the host.

    Args:
        communicator: The processes.
        retire: Called with this channel when an exchange is finished, after which it can be started again.
        like: A stack (k, d) as those that will be sent.
        posted: Whether it is for what is posted ahead.
        send: rank -> the local rows that it needs.
        receive: rank -> the rows that it sends.
        segmented: Whether rows may travel in segments.
    """

    def __init__(
        self,
        communicator: MpiCommunicator,
        retire: Callable[[Channel], None],
        like: Tensor,
        posted: bool,
        send: Mapping[int, Indices],
        receive: Mapping[int, Indices],
        segmented: bool,
    ) -> None:
        self._communicator = communicator
        self._retire = retire
        self._serves = _described(like, posted), send, receive
        self._send = send
        self._tag = STACK + POSTED * posted
        d = like.shape[1]
        self.segment = max(1, SEGMENT // like.itemsize) if segmented else max(1, d)
        self._segments = [slice(first, min(first + self.segment, d)) for first in range(0, d, self.segment)]
        self._arrived = 0  # segments

        self._staged = like.is_cuda and not communicator.takes_gpu_memory
        device = torch.device("cpu") if self._staged else like.device

        def rows_for(needed: Indices) -> Tensor:
            if like.is_cpu:
                return in_whole_pages(len(needed), d, like.dtype)
            return torch.empty(len(needed), d, dtype=like.dtype, device=device, pin_memory=self._staged)

        self._inbox = {source: rows_for(rows) for source, rows in receive.items()}
        self.rows = {
            s: torch.empty_like(rows, device=like.device) if self._staged else rows for s, rows in self._inbox.items()
        }
        self._receives = [
            [communicator.mpi.Recv_init(as_bytes(rows[:, part]), s, self._tag) for s, rows in self._inbox.items()]
            for part in self._segments
        ]
        # What is sent from a copy, and the requests that send it.
        self._outbox = {
            target: rows_for(rows)
            for target, rows in send.items()
            if self._staged or len(rows) * like[0].nbytes <= SMALL or not _consecutive(rows)
        }
        self._resends = [
            [communicator.mpi.Send_init(as_bytes(rows[:, part]), t, self._tag) for t, rows in self._outbox.items()]
            for part in self._segments
        ]
        self._direct = [target for target in send if target not in self._outbox]
        self._targets = [*self._outbox, *self._direct] * len(self._segments)
        self._sends_from: dict[int, list[list[MPI.Prequest]]] = {}
        self._row_bytes, self._itemsize = d * like.itemsize, like.itemsize
        self._value: Tensor | None = None  # what is being sent

    def suits(self, value: Tensor, posted: bool, send: Mapping[int, Indices], receive: Mapping[int, Indices]) -> bool:
        """Whether this is a channel for such stacks."""
        described, to, by = self._serves
        return described == _described(value, posted) and to is send and by is receive

    def start(self, value: Tensor) -> Channel:
        """Begin an exchange: send the rows that others need of this stack."""
        self._value = value = value.contiguous()
        for target, copy in self._outbox.items():
            copy.copy_(_take(value, self._send[target]))
        if value.is_cuda:
            torch.cuda.current_stream(value.device).synchronize()  # MPI knows nothing of what is queued there
        self._sends = self._requests_from(value.data_ptr())
        for segment in range(min(IN_FLIGHT, len(self._segments))):
            self._start_segment(segment)
        self._arrived = 0
        return self

    def _requests_from(self, address: int) -> list[list[MPI.Prequest]]:
        """For each segment, the requests that send what others need of a stack at this address."""
        if address not in self._sends_from:
            if len(self._sends_from) == STACKS:
                oldest = self._sends_from.pop(next(iter(self._sends_from)))
                _free([requests[len(self._outbox) :] for requests in oldest])

            def request(target: int, part: slice) -> MPI.Prequest:
                rows = self._send[target]
                begin = address + int(rows[0]) * self._row_bytes + part.start * self._itemsize
                size = len(rows) * (part.stop - part.start) * self._itemsize
                # By its address, as a request of its own would keep the memory from being used again.
                return self._communicator.mpi.Send_init(MPI.buffer.fromaddress(begin, size), target, self._tag)

            self._sends_from[address] = [
                [*resends, *[request(target, part) for target in self._direct]]
                for part, resends in zip(self._segments, self._resends, strict=True)
            ]
        return self._sends_from[address]

    def _start_segment(self, segment: int) -> None:
        MPI.Prequest.Startall(self._receives[segment] + self._sends[segment])

    def wait(self, stop: int) -> None:
        while self._arrived < len(self._segments) and self._segments[self._arrived].start < stop:
            part = self._segments[self._arrived]
            self._communicator.wait(self._receives[self._arrived], self._inbox)
            if self._arrived + IN_FLIGHT < len(self._segments):
                self._start_segment(self._arrived + IN_FLIGHT)
            if self._staged:
                for source, rows in self._inbox.items():
                    self.rows[source][:, part].copy_(rows[:, part], non_blocking=True)
            self._arrived += 1

    def finish(self) -> None:
        self.wait(self._segments[-1].stop if self._segments else 0)
        self._communicator.wait([request for requests in self._sends for request in requests], self._targets)
        self._value = None  # its memory may be used again
        self._retire(self)

    def free(self) -> None:
        """Give the persistent requests back to MPI."""
        direct = [requests[len(self._outbox) :] for sends in self._sends_from.values() for requests in sends]
        _free(self._receives + self._resends + direct)


class MessageLink:
    """Packed messages of any length."""

    def __init__(
        self,
        communicator: MpiCommunicator,
        message: Message,
        receive: Mapping[int, Indices],
        sends: Mapping[int, MPI.Request],
        tag: int,
    ) -> None:
        self._communicator = communicator
        self._message = message
        self._receive = receive
        self._sends = sends
        self._tag = tag
        self.rows: Mapping[int, Message] = {}
        self.segment = 1 << 62  # all of a message comes at once

    def wait(self, stop: int) -> None:
        if not self.rows:
            self.rows = {
                source: self._message.received(buffer, len(self._receive[source]))
                for source, buffer in self._buffers().items()
            }

    def finish(self) -> None:
        self.wait(0)
        self._communicator.wait(list(self._sends.values()), self._sends)

    def _buffers(self) -> dict[int, Bytes]:
        mpi = self._communicator.mpi
        buffers: dict[int, Bytes] = {}
        requests: list[MPI.Request] = []

        def poll() -> bool:
            for source in self._receive:
                if source in buffers:
                    continue
                status = MPI.Status()
                arrived = mpi.Improbe(source, self._tag, status)
                if arrived is not None:
                    buffers[source] = np.empty(status.Get_count(MPI.BYTE), np.uint8)
                    requests.append(arrived.Irecv(buffers[source]))
            return len(buffers) == len(self._receive)

        self._communicator.poll(poll, lambda: [source for source in self._receive if source not in buffers])
        self._communicator.wait(requests)
        return buffers


def _free(requests: Sequence[Sequence[MPI.Prequest]]) -> None:
    for request in itertools.chain(*requests):
        request.Free()


def _described(value: Tensor, posted: bool) -> tuple[object, ...]:
    return value.shape, value.dtype, value.device, posted


def _consecutive(rows: Indices) -> bool:
    return bool(rows[-1] - rows[0] + 1 == len(rows))


def _take(value: Tensor, rows: Indices) -> Tensor:
    """Some rows of a stack, ascending; without a copy if they follow each other."""
    if _consecutive(rows):
        return value[int(rows[0]) : int(rows[-1]) + 1]
    return value[torch.from_numpy(rows).to(value.device)]
