"""Links for stacks of one shape: buffers and requests that are used again and again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from mpi4py import MPI
from torch import Tensor

from gossip.network.plans.halo import Indices
from gossip.network.sums.pages import as_bytes, in_whole_pages
from gossip.processes.mpi import MpiCommunicator

STACK = 1  # the tag of stacks
POSTED = 8  # added to the tag of what is posted ahead, which later exchanges may overtake
SMALL = 1 << 16  # bytes to one rank up to which a copy costs less than setting up a request does
SEGMENT = 1 << 23  # bytes of a row that are summed while the next ones arrive
IN_FLIGHT = 2  # segments
STACKS = 8  # addresses from which a channel is ready to send: algorithms use a few in turn


class Channel:
    """Buffers and persistent requests for stacks of one shape, to and from the same ranks, used again and again.

    The rows that come are received where they are read. Rows to send go straight from the stack if they follow each
    other there; if they are few bytes, a copy of them goes, by a persistent request.

    On a GPU, rows travel from and to its memory if the MPI library can, otherwise through pinned memory of the host.

    Args:
        communicator: The processes.
        like: A stack (k, d) as those that will be sent.
        send: rank -> the local rows that it needs.
        receive: rank -> the rows that it sends.
        posted: Whether it is for what is posted ahead.
        segmented: Whether rows may travel in segments.
        retire: Called with this channel when an exchange is finished, after which it can be started again.
    """

    def __init__(
        self,
        communicator: MpiCommunicator,
        like: Tensor,
        send: Mapping[int, Indices],
        receive: Mapping[int, Indices],
        *,
        posted: bool,
        segmented: bool,
        retire: Callable[[Channel], None],
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
        self._inbox = {source: self._room_for(rows, like) for source, rows in receive.items()}
        self.rows = {
            s: torch.empty_like(rows, device=like.device) if self._staged else rows for s, rows in self._inbox.items()
        }
        self._receives = [
            [communicator.mpi.Recv_init(as_bytes(rows[:, part]), s, self._tag) for s, rows in self._inbox.items()]
            for part in self._segments
        ]
        # What is sent from a copy, and the requests that send it.
        self._outbox = {
            target: self._room_for(rows, like)
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

    def suits(self, value: Tensor, send: Mapping[int, Indices], receive: Mapping[int, Indices], posted: bool) -> bool:
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

    def _room_for(self, rows: Indices, like: Tensor) -> Tensor:
        """Where so many rows come from or go to by MPI."""
        if like.is_cpu:
            return in_whole_pages(len(rows), like.shape[1], like.dtype)
        device = torch.device("cpu") if self._staged else like.device
        return torch.empty(len(rows), like.shape[1], dtype=like.dtype, device=device, pin_memory=self._staged)

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
