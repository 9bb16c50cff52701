"""The nodes of an asynchronous run as their programs see them, whichever driver moves them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from algorithms import Message, Sample
from algorithms.program import NodeProgram
from algorithms.randomness import Draw
from topologies import Topology

Gradient = Callable[[Sequence[int], Tensor, Sequence[int]], Sample]
"""Gives the sample, (k, d) and (k,), of these k nodes at these points (k, d), for the gradient of each that has this
number, from 0. A row must have the same bits whatever the others are."""


class Host(Protocol):
    """What a driver does for its nodes."""

    @property
    def now(self) -> int:
        """The time of the event that happens, in nanoseconds, as a schedule has it for the node."""

    def compute(self, node: LocalNode, x: Tensor) -> None:
        """A node asks for its next gradient, at x (1, d)."""

    def carry(self, node: LocalNode, to: int, value: Tensor | Message, label: str) -> None:
        """A node sends a row (1, d), which is nobody else's, or a message of one to a neighbour."""

    def wake(self, node: LocalNode, seconds: float) -> None:
        """A node sets a timer."""


class LocalNode:
    """One node of this process; a `NodeContext`.

    Args:
        node: Its number.
        neighbors: To whom it may send, ascending.
        program: What it runs.
        host: Does what it asks for.
        seed: Of what it draws.

    Attributes:
        happened: The events so far.
        gradients: Those that it has asked for so far.
        computing: Whether it waits for one.
        stopped: Whether it wants no more.
        last: The last gradient that it has got.
    """

    __slots__ = (
        "_host", "_reach", "_seed", "computing", "gradients", "happened", "last", "neighbors", "node", "program",
        "stopped",
    )  # fmt: skip

    def __init__(self, node: int, neighbors: tuple[int, ...], program: NodeProgram, host: Host, seed: int) -> None:
        self.node, self.neighbors, self.program = node, neighbors, program
        self.happened = self.gradients = 0
        self.last: Sample | None = None
        self.computing = self.stopped = False
        self._host, self._seed, self._reach = host, seed, frozenset(neighbors)

    def saved(self) -> dict[str, Any]:
        """What this node has, but what its host keeps for it, as a tree of what can be saved."""
        last = None if self.last is None else parts(self.last)
        counts = [self.happened, self.gradients, self.computing, self.stopped]
        return {"program": self.program, "counts": counts, "last": last}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from this; the program is that of before already."""
        self.happened, self.gradients, self.computing, self.stopped = saved["counts"]
        self.last = None if saved["last"] is None else Sample(*saved["last"])

    @property
    def now(self) -> int:
        """See `NodeContext`."""
        return self._host.now

    def start(self) -> None:
        """The run begins."""
        self.happened += 1
        self.program.on_start(self)

    def receive(self, sender: int, row: Tensor, label: str) -> None:
        """A message has arrived."""
        self.happened += 1
        self.program.on_message(sender, row, label, self)

    def use(self, sample: Sample) -> None:
        """The gradient is there."""
        self.happened += 1
        self.computing, self.last = False, sample
        self.program.on_gradient(sample, self)

    def awake(self) -> None:
        """The time of a timer has come."""
        self.happened += 1
        self.program.on_timer(self)

    def lose(self, neighbor: int, returned: Sequence[tuple[Tensor, str]]) -> None:
        """A neighbour is lost, and this comes back."""
        self.happened += 1
        self.neighbors = tuple(each for each in self.neighbors if each != neighbor)
        self._reach = frozenset(self.neighbors)
        self.program.on_lost(neighbor, returned, self)

    def ask_gradient(self, x: Tensor) -> None:
        """See `NodeContext`."""
        if self.computing or self.stopped:
            why = "has stopped" if self.stopped else "is still computing a gradient"
            raise RuntimeError(f"node {self.node} {why}, so it cannot compute another one")
        self.computing = True
        self._host.compute(self, x.clone())

    def send(self, to: int, value: Tensor | Message, kind: str = "") -> None:
        """See `NodeContext`."""
        if to not in self._reach:
            raise ValueError(f"node {self.node} has no link to node {to}")
        self._host.carry(self, to, value if isinstance(value, Message) else value.clone(), kind)

    def set_timer(self, seconds: float) -> None:
        """See `NodeContext`."""
        if not self.stopped:
            self._host.wake(self, seconds)

    def stop(self) -> None:
        """See `NodeContext`."""
        self.stopped = True

    def draw(self, purpose: str) -> Draw:
        """See `NodeContext`."""
        return Draw(self._seed, purpose, (self.node,), self.happened)


class PendingGradients:
    """Gradients that nodes have asked for, whose points are fixed since: they are computed together.

    All of them are computed when the first one is needed, in one call. Those that will not be needed, of nodes that
    have stopped, are forgotten.

    Args:
        gradient: Computes them.
    """

    def __init__(self, gradient: Gradient) -> None:
        self._gradient = gradient
        self._asked: dict[int, tuple[Tensor, int]] = {}
        self._there: dict[int, Sample] = {}

    def ask(self, node: int, x: Tensor, step: int) -> None:
        """A node asks for its gradient of this number at x (1, d)."""
        self._asked[node] = x, step

    @property
    def ahead(self) -> list[int]:
        """The nodes whose gradients have been computed and not taken."""
        return list(self._there)

    def forget(self, node: int) -> None:
        """It will not be needed."""
        self._asked.pop(node, None)
        self._there.pop(node, None)

    def compute(self, node: int) -> bool:
        """See to it that what a node has asked for is there; whether that was to be computed.

        Meanwhile, nodes may ask for others in another thread.
        """
        if node in self._there:
            return False
        self._compute()
        return True

    def take(self, node: int) -> Sample:
        """What a node has asked for, (1, d) and (1,)."""
        self.compute(node)
        return self._there.pop(node)

    def saved(self, node: int) -> dict[str, Any]:
        """What a node has asked for, and what is there of it, as a tree of what can be saved."""
        there = self._there.get(node)
        known = None if there is None else tuple(part for part in parts(there) if part is not None)
        return {"asked": self._asked.get(node), "there": known}

    def restore(self, node: int, saved: dict[str, Any]) -> None:
        """Let a node have asked for this."""
        if saved["asked"] is not None:
            self._asked[node] = saved["asked"]
        if saved["there"] is not None:
            self._there[node] = Sample(*saved["there"])

    def _compute(self) -> None:
        asked, self._asked = self._asked, {}
        nodes = sorted(asked)
        points, steps = zip(*[asked[node] for node in nodes], strict=True)
        sample = self._gradient(nodes, torch.cat(points), steps)
        # Rows (1, ...) each; `split` takes longer.
        rows = [each.unsqueeze(1).unbind() for each in parts(sample) if each is not None]
        self._there.update(zip(nodes, map(Sample, *rows), strict=True))


def parts(sample: Sample) -> tuple[Tensor, Tensor, Tensor | None]:
    """The tensors of a sample, which it can be made of again."""
    return sample.gradient, sample.loss, sample.norms


def listeners_of(topology: Topology) -> list[tuple[int, ...]]:
    """Of each node, to whom it may send, ascending."""
    indptr, senders, _ = topology.arrays
    receivers = np.repeat(np.arange(topology.n), np.diff(indptr))
    others = senders != receivers
    senders, receivers = senders[others], receivers[others]
    order = np.lexsort((receivers, senders))
    ends = np.cumsum(np.bincount(senders, minlength=topology.n))
    return [tuple(part.tolist()) for part in np.split(receivers[order], ends[:-1])]
