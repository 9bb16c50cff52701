"""Compressed links between a server and those of its clients that take part in a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from algorithms.blocks.server import among, hear, local_rows, server_rows
from algorithms.compressors import Compressor, Message
from algorithms.network import Network
from algorithms.randomness import Draw
from algorithms.state import Block, Rows, put_rows, rows_of


@dataclass
class Uplink(Block):
    """What each client remembers of one kind of vector that it sends compressed, from one of its rounds to the next.

    With v what it wants to send, and error feedback: p = v + e; sent: C(p); e <- p - C(p). Without: sent: C(v).

    Attributes:
        lost: (k, d), the errors e; None without error feedback.
        remembered: What the compressor remembers of the vectors; None if it does not.
    """

    lost: Tensor | None
    remembered: Block | None

    @classmethod
    def start(cls, x: Tensor, compressor: Compressor, error_feedback: bool) -> Self:
        """Nothing lost so far, of vectors like those in the stack x (k, d)."""
        return cls(torch.zeros_like(x) if error_feedback else None, compressor.start_like(x))

    def message(self, value: Tensor, rows: Rows, compressor: Compressor, draw: Draw) -> Message:
        """The message of the clients in these local rows, who want to send (r, d)."""
        corrected = value if self.lost is None else value + self.lost[rows]
        remembered = rows_of(self.remembered, rows)
        message = compressor.compress(corrected, draw, remembered)
        self.remembered = put_rows(self.remembered, rows, remembered)
        if self.lost is not None:
            self.lost[rows] = corrected - message.dense()
        return message


@dataclass
class Downlink(Block):
    """What each client knows of one kind of vector that the server sends compressed, as the server knows, too.

    With w what the server has, and w_k what client k knows of it, q = C(w - w_k) is sent and w_k <- w_k + q at both
    ends, so that what has been lost is in the next difference: error feedback, also for clients that miss rounds. A
    client that takes part for the first time hears w as it is. Those that have been in the same rounds know the same;
    they are a group, and hear the same message.

    Attributes:
        known: At a client (1, d), what it knows, or (0, d) if it has heard nothing; at the server (groups, d), what the
            groups know.
        groups: (K,), the group of each client; -1 of those that have heard nothing.
    """

    known: list[Tensor]
    groups: tuple[int, ...]

    @classmethod
    def start(cls, x: Tensor, clients: int) -> Self:
        """So many clients have heard nothing of vectors like those in the stack x (k, d)."""
        return cls([x.new_zeros(0, x.shape[1]) for _ in range(len(x))], (-1,) * clients)

    def send(self, stack: Tensor, clients: Sequence[int], compressor: Compressor, network: Network, what: str) -> None:
        """Let these clients hear what the server has: a message, or the vector, to each.

        Args:
            stack: (k, d), w in the server's row; the rows of these clients become what they know then.
            clients: Ascending, the same on every rank.
            compressor: C.
            network: The clients and the server.
            what: Names the kind of vector, for draws of its own.
        """
        present, told = {*clients}, {}
        for group in sorted({self.groups[client] for client in clients}):
            members = [client for client in clients if self.groups[client] == group]
            told[group] = self._tell(stack, group, members, compressor, network.draw(f"{what} {group}"), network)
        self.recall(stack, clients, network)
        left = sorted({group for client, group in enumerate(self.groups) if client not in present} - {-1})
        for row in range(len(stack))[server_rows(network)]:
            self.known[row] = torch.cat([self.known[row][left], *told.values()])
        order = [(False, group) for group in left] + [(True, group) for group in told]
        place = {each: i for i, each in enumerate(order)} | {(False, -1): -1}
        self.groups = tuple(place[client in present, group] for client, group in enumerate(self.groups))

    def recall(self, stack: Tensor, clients: Sequence[int], network: Network) -> None:
        """Write what these clients know to their rows of a stack (k, d)."""
        for row in local_rows(clients, network):
            stack[row] = self.known[row][0]

    def _tell(
        self, stack: Tensor, group: int, members: Sequence[int], compressor: Compressor, draw: Draw, network: Network
    ) -> Tensor:
        """Let the members of a group hear what the server has.

        Returns:
            What they know then, at the server (1, d), elsewhere (0, d).
        """
        here = server_rows(network)
        w = stack[here]
        if group < 0:
            rows, heard = hear(stack, members, network)
            self._learn(rows, heard[:, None].unbind())
            return w.clone()
        known = self.known[-1][group : group + len(w)]
        message = compressor.compress(w - known, replace(draw, nodes=[network.n - 1] * len(w)))
        rows, heard = hear(among(message, here, len(stack)), members, network)
        self._learn(rows, [self.known[row] + own for row, own in zip(rows, heard, strict=True)])
        return known + message.dense()

    def _learn(self, rows: Sequence[int], known: Sequence[Tensor]) -> None:
        """What the clients in these rows know now, (1, d) each."""
        for row, own in zip(rows, known, strict=True):
            self.known[row] = own
