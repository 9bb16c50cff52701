"""Averagings of two nodes at a time: one of them asks, the other one answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.message import Message
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext
from algorithms.state import Block

Active = Literal["half", "all"]


class Averaging(Protocol):
    """A node that averages with others."""

    @property
    def shown(self) -> Tensor:
        """(1, d): what others average with; not changed in place."""

    def average(self, heard: Tensor, told: Tensor) -> None:
        """Average with what another one has shown (1, d), which is used up, given what that one was told (1, d)."""


@dataclass(eq=False)
class Pairing(Block):
    """What a node knows of its averagings with others, of which it begins one at a time.

    A node that waits for an answer lets neighbours with smaller numbers wait until it has it, and refuses the others,
    which then do without: as nobody waits for a smaller number that waits, there is no circle.

    Attributes:
        compressor: What is told in the place of the whole.
        atomic: Whether that is so; else all are answered at once.
        partner: Who has been asked and has not answered; None if nobody.
        told: (1, d), what that one has been told.
        deferred: The neighbours that wait for this node, and what they have told.
    """

    compressor: Compressor | None = None
    atomic: bool = True
    partner: int | None = None
    told: Tensor | None = None
    deferred: list[tuple[int, Tensor]] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether the node waits for an answer."""
        return self.partner is not None

    def ask(self, node: Averaging, context: NodeContext) -> bool:
        """Begin an averaging with a neighbour drawn at random; whether there is any."""
        neighbors = context.neighbors
        if neighbors:
            self.partner = neighbors[context.draw("partner").key(0).own % len(neighbors)]
            self.told = self._tell(self.partner, node, "model", context)
        return bool(neighbors)

    def hear(
        self, sender: int, value: Tensor, kind: str, node: Averaging, context: NodeContext, *, busy: bool = False
    ) -> bool:
        """A message of an averaging has come; whether the node waited for it and does no more.

        Args:
            sender: Of the message.
            value: Its row (1, d).
            kind: As it was sent.
            node: This one.
            context: Its own.
            busy: Whether those who ask are to wait until `release`.
        """
        if kind == "model":
            waits = self.atomic and self.waits
            if waits and sender > context.node:
                context.send(sender, value.new_zeros(1, 1), "refusal")
            elif waits or busy:
                self.deferred.append((sender, value))
            else:
                self._answer(sender, value, node, context)
            return False
        told, self.partner, self.told = self.told, None, None
        if kind == "answer":
            assert told is not None
            node.average(value, told)
        self.release(node, context)
        return True

    def lose(self, neighbor: int, node: Averaging, context: NodeContext) -> bool:
        """A neighbour is lost; whether the node waited for it and does no more."""
        self.deferred = [each for each in self.deferred if each[0] != neighbor]
        if self.partner != neighbor:
            return False
        self.partner = self.told = None
        self.release(node, context)
        return True

    def release(self, node: Averaging, context: NodeContext) -> bool:
        """Answer all that wait for this node; whether there are any."""
        deferred, self.deferred = self.deferred, []
        for neighbor, value in deferred:
            self._answer(neighbor, value, node, context)
        return bool(deferred)

    def _answer(self, neighbor: int, value: Tensor, node: Averaging, context: NodeContext) -> None:
        node.average(value, self._tell(neighbor, node, "answer", context))

    def _tell(self, neighbor: int, node: Averaging, kind: str, context: NodeContext) -> Tensor:
        """Send what the node shows; what the neighbour decodes of it."""
        shown = node.shown
        if self.compressor is None:
            context.send(neighbor, shown, kind)
            return shown
        message: Message = self.compressor.compress(shown, context.draw(f"{kind} to {neighbor}"))
        context.send(neighbor, message, kind)
        return message.dense()


def check_active(owner: object, active: Active) -> None:
    """Refuse what says of no nodes that they begin averagings."""
    check(active in get_args(Active), owner, "active", f"one of {', '.join(get_args(Active))}")


def active_nodes(owner: object, active: Active, graph: WeightedEdges) -> NDArray[np.bool_]:
    """(n,): which nodes begin averagings: all, or the half of a bipartite graph that does not have node 0.

    Raises:
        ValueError: One half is asked for, and the graph has none.
    """
    if active == "all":
        return np.ones(graph.n, bool)
    halves = two_halves(graph)
    check(halves is not None, owner, "active", "all on this graph, which has a cycle of odd length")
    assert halves is not None
    return halves


def two_halves(graph: WeightedEdges) -> NDArray[np.bool_] | None:
    """(n,): in which half each node is, False for that of 0, or None if the graph is not bipartite.

    Of a graph in several parts, the same holds for the smallest number of each.
    """
    halves = np.full(graph.n, -1)
    for first in range(graph.n):
        if halves[first] >= 0:
            continue
        halves[first] = 0
        reached = [first]
        for node in reached:
            others = others_of(graph, node)
            if any(halves[other] == halves[node] for other in others):
                return None
            new = [other for other in others if halves[other] < 0]
            halves[new] = 1 - halves[node]
            reached.extend(new)
    return halves == 1


def others_of(graph: WeightedEdges, node: int) -> Sequence[int]:
    """The nodes that send to this one, ascending, without itself."""
    indptr, senders = graph.arrays.indptr, graph.arrays.indices
    return [int(each) for each in senders[indptr[node] : indptr[node + 1]] if each != node]
