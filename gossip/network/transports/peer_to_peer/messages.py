"""Links for packed messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from mpi4py import MPI

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from gossip.network.plans.halo import Indices
from gossip.network.transports.links import WHOLE
from gossip.processes.mpi import MpiCommunicator

MESSAGE = 2  # the tag of messages


class MessageLink:
    """A link for packed messages of any length.

    Args:
        communicator: The processes.
        message: What is sent; what comes was packed in the same way.
        receive: rank -> the rows that it sends.
        sends: rank -> the request that sends to it.
        tag: Keeps it apart from other traffic.
        retire: Called with this link when the exchange is finished.
    """

    def __init__(
        self,
        communicator: MpiCommunicator,
        message: Message,
        receive: Mapping[int, Indices],
        sends: Mapping[int, MPI.Request],
        *,
        tag: int,
        retire: Callable[[MessageLink], None],
    ) -> None:
        self._communicator = communicator
        self._message = message
        self._receive = receive
        self._sends = sends
        self._tag = tag
        self._retire = retire
        self.rows: Mapping[int, Message] = {}
        self.segment = WHOLE

    def wait(self, stop: int) -> None:
        if not self.rows:
            self.rows = {
                source: self._message.received(buffer, len(self._receive[source]))
                for source, buffer in self._buffers().items()
            }

    def finish(self) -> None:
        self.wait(0)
        self._communicator.wait(list(self._sends.values()), self._sends)
        self._retire(self)

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
