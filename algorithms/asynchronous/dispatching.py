"""A server that always has a number of clients at work, each from the model of the moment at which it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from algorithms.asynchronous.federated import AsynchronousFederated, drawn
from algorithms.checks import check
from algorithms.program import NodeContext, NodeProgram


@dataclass(eq=False)
class DispatchingServer(NodeProgram):
    """A server that asks another client as soon as one has answered.

    Attributes:
        x: (1, d), its model w.
        busy: How many clients are at work at any time, unless there are fewer.
        version: How many models it has had before this one.
        began: Client at work -> the version that it began with.
    """

    method: AsynchronousFederated
    x: Tensor
    busy: int
    version: int = 0
    began: dict[int, int] = field(default_factory=dict)

    def on_start(self, context: NodeContext) -> None:
        for client in drawn(context.neighbors, self.busy, context.draw("clients")):
            self._ask(client, context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.use(value, self.version - self.began.pop(sender))
        self._ask_another(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        if self.began.pop(neighbor, None) is not None:
            self._ask_another(context)

    def use(self, answer: Tensor, staleness: int) -> None:
        """Make what the method makes of an answer (1, d), from so many versions ago."""
        raise NotImplementedError

    @property
    def model(self) -> Tensor:
        return self.x

    def _ask_another(self, context: NodeContext) -> None:
        """Ask one of those that are not at work, if there is one."""
        idle = [client for client in context.neighbors if client not in self.began]
        if idle:
            self._ask(drawn(idle, 1, context.draw("clients"))[0], context)

    def _ask(self, client: int, context: NodeContext) -> None:
        self.began[client] = self.version
        context.send(client, self.method.packed(self.x, context.draw(f"model for {client}")), "model")


def check_concurrency(owner: object, concurrency: int | None) -> None:
    """Refuse another number of clients at work than one that there may be."""
    check(concurrency is None or concurrency >= 1, owner, "concurrency", ">= 1, or None for all clients")


def at_work(owner: object, concurrency: int | None, clients: int) -> int:
    """How many of so many clients work at any time.

    Raises:
        ValueError: There are not so many.
    """
    if concurrency is not None and concurrency > clients:
        raise ValueError(
            f"{type(owner).__name__}: concurrency = {concurrency} of {clients} clients; it must be <= these"
        )
    return concurrency or clients
