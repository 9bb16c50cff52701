"""The contract of an asynchronous algorithm: one program per node, which is told what happens and says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.compressors.message import Message
from algorithms.randomness import Draw


class NodeContext(Protocol):
    """What the program of one node may ask for. It shows no process, and no other node's state."""

    @property
    def node(self) -> int:
        """The number of this node, 0..n-1."""

    @property
    def neighbors(self) -> Sequence[int]:
        """The nodes that this one may send to, ascending."""

    @property
    def now(self) -> int:
        """When what happens now does, in nanoseconds since the run began, by the clock of this node.

        That of another node may show something else. It is recorded, so that a replay shows the same times.
        """

    def ask_gradient(self, x: Tensor) -> None:
        """Compute a gradient at x (1, d), of which a copy is taken now; `on_gradient` gets it. One at a time.

        Raises:
            RuntimeError: The node is still computing one, or has stopped.
        """

    def send(self, to: int, value: Tensor | Message, kind: str = "") -> None:
        """Send a row (1, d), or a message of one row, to a neighbour, whose `on_message` gets it.

        What is sent to the same node arrives in the order of sending. A tensor is copied now.

        Args:
            to: One of `neighbors`.
            value: What is sent. Its bytes are counted, and take their time.
            kind: What the receiver is to make of it, for programs that send several things.

        Raises:
            ValueError: `to` is no neighbour.
        """

    def set_timer(self, seconds: float) -> None:
        """Let `on_timer` be called after so many seconds, >= 0."""

    def stop(self) -> None:
        """No further gradients and timers for this node, also those that were asked for. Messages still come."""

    def draw(self, purpose: str) -> Draw:
        """Random streams of one row, this node's, which are others in each thing that happens to it."""


class NodeProgram:
    """What one node does in an asynchronous algorithm. Each node has a program of its own.

    All that happens to a node happens one after the other, so that a program needs no locks. What arrives in which
    order is not the program's to know: it must work with any, and gives the same bits if the order is the same.
    """

    def on_start(self, context: NodeContext) -> None:
        """The run begins."""

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        """The gradient that was asked for is there, with rows of this node only: (1, d) and (1,)."""

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        """Something has arrived: the row (1, d) as every receiver decodes it, which is this program's to keep."""

    def on_timer(self, context: NodeContext) -> None:
        """The time of a timer has come."""

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        """A neighbour is gone, and no longer among those of the context: it gets nothing and sends nothing any more.

        Args:
            neighbor: Which one.
            returned: The rows (1, d) and kinds of what it was sent and has not been given, as far as is known.
            context: As always.
        """

    def report(self) -> dict[str, float]:
        """Numbers of this node, by the same names at every node, whose means over all nodes a run records."""
        return {}

    @property
    def mass(self) -> float | None:
        """What this node has of a weight whose sum over all nodes, and what is under way, stays the same; None if the
        method has none."""
        return None

    @property
    def model(self) -> Tensor:
        """(1, d): the parameters that this node outputs."""
        raise NotImplementedError
