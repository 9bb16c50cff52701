"""The transport by nonblocking point-to-point messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors import Message
from gossip.network.plans.halo import HaloPlan, Indices
from gossip.network.plans.tree import TreePlan
from gossip.network.sums.mixing import RowAddresses, Scaled, Sums
from gossip.network.sums.pages import stack_of
from gossip.network.transport import PLANS, STREAMED, UNLIMITED, Rows, Site, Wire, row_bytes_of
from gossip.network.transports.links import Link, LinkedExchange
from gossip.network.transports.peer_to_peer.channel import POSTED, Channel
from gossip.network.transports.peer_to_peer.messages import MESSAGE, MessageLink
from gossip.network.transports.peer_to_peer.progress import Progress
from gossip.network.transports.peer_to_peer.tree_rows import rows_of_packed, rows_of_stack
from gossip.network.transports.peer_to_peer.tree_total import TreeTotal
from gossip.processes.mpi import MpiCommunicator
from gossip.spans import timed

TOTALS, TOTALS_AT_ONCE = 64, 1024  # first tag of the sums over all nodes, and how many are kept apart
IDLE_CHANNELS = 8


class PeerToPeer:
    """A `LinkingTransport`: some of the nodes on each rank, linked by nonblocking point-to-point messages.

    Args:
        site: The nodes and processes.
        communicator: That of the site.
    """

    ahead = UNLIMITED

    def __init__(self, site: Site, communicator: MpiCommunicator) -> None:
        self.wire = Wire()
        self._communicator = communicator
        self._nodes = site.nodes
        self._one_node_each = site.n == communicator.size
        self._streamed = STREAMED // len(communicator.local_ranks)
        self._tree = TreePlan.build(site.hosted)
        self._sends_in_a_total = self._tree.sends(communicator.rank)
        self._totals = 0  # begun so far, the same number on all ranks
        self._idle: list[Channel] = []
        self._progress = Progress(communicator)
        self._sums = lru_cache(maxsize=PLANS)(lambda plan: Sums(plan, plan.places))
        self._start = timed(site.spans, Channel.start, "copy and send", "copy")
        self._send_packed = timed(site.spans, self._message_link, "pack and send", "copy")

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> LinkedExchange:
        """See `Transport`."""
        return LinkedExchange(plan, self._sums(plan), value, [self.link(value, plan.send, plan.receive, posted)])

    def link(self, value: Rows, send: Mapping[int, Indices], receive: Mapping[int, Indices], posted: bool) -> Link:
        """See `LinkingTransport`."""
        if isinstance(value, Message):
            link: Channel | MessageLink = self._send_packed(value, send, receive, posted)
        else:
            self.wire.count(sum(map(len, send.values())) * row_bytes_of(value), len(send))
            link = self._start(self._channel(value, send, receive, posted), value)
        if posted:
            self._progress.begin(link)
        return link

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> Tensor | None:
        """See `Transport`."""
        return None

    def sum(
        self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None
    ) -> None:
        """See `Transport`."""
        sums.into(out, sources, plus, stream=out.nbytes >= self._streamed)

    def total(self, value: Tensor, posted: bool) -> TreeTotal:
        """See `Transport`."""
        self.wire.count(self._sends_in_a_total * row_bytes_of(value), self._sends_in_a_total)
        self._totals += 1
        tag = TOTALS + self._totals % TOTALS_AT_ONCE
        total = TreeTotal(value, self._tree, self._nodes, self._communicator, tag=tag, retire=self._progress.end)
        if posted:
            self._progress.begin(total, total.advance)
        return total

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """See `Transport`."""
        return rows_of_stack(value, nodes, self._tree, self._communicator, self.wire)

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        """See `Transport`."""
        return rows_of_packed(message, nodes, self._tree, self._communicator, self.wire)

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """See `Transport`."""
        return stack_of(len(self._nodes), d, dtype, device)

    def exposed(self, stack: Tensor) -> bool:
        """See `Transport`."""
        return False

    def advance(self) -> None:
        """See `Transport`."""
        self._progress.advance()

    def abandon(self) -> None:
        """See `Transport`."""
        self._progress.stop()

    def close(self) -> None:
        """See `Transport`."""
        self._progress.stop()
        while self._idle:
            self._idle.pop().free()

    def _channel(
        self, value: Tensor, send: Mapping[int, Indices], receive: Mapping[int, Indices], posted: bool
    ) -> Channel:
        for channel in self._idle:
            if channel.suits(value, send, receive, posted):
                self._idle.remove(channel)
                return channel
        # Both ends must divide a message alike, so this must not depend on the rank. What is posted travels whole.
        segmented = self._one_node_each and not posted
        return Channel(
            self._communicator, value, send, receive, posted=posted, segmented=segmented, retire=self._retire
        )

    def _retire(self, channel: Channel) -> None:
        self._progress.end(channel)
        self._idle.append(channel)
        if len(self._idle) > IDLE_CHANNELS:
            self._idle.pop(0).free()

    def _message_link(
        self, message: Message, send: Mapping[int, Indices], receive: Mapping[int, Indices], posted: bool
    ) -> MessageLink:
        packed = {row: message.pack(row) for row in {row for needed in send.values() for row in needed.tolist()}}
        tag = MESSAGE + POSTED * posted
        requests = {}
        for target, needed in send.items():
            buffer = np.concatenate([packed[row] for row in needed.tolist()])
            self.wire.count(len(buffer))
            requests[target] = self._communicator.mpi.Isend(buffer, target, tag)
        return MessageLink(self._communicator, message, receive, requests, tag=tag, retire=self._progress.end)
