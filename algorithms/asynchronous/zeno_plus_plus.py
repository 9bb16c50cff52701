"""Zeno++: a server that lets each gradient in by how well it agrees with one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.checks import check, positive
from algorithms.network import WeightedEdges
from algorithms.numerics.sums import add_scaled, squared_norms
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class ZenoPlusPlus(Asynchronous):
    """Zeno++: asynchronous SGD with a server that lets each gradient in by how well it agrees with one of its own.

    Xie, Koyejo, Gupta, "Zeno++: Robust Fully Asynchronous SGD", ICML 2020, arXiv 1903.07020. The last node is the
    server, and its share of the data is for validation alone: v is its gradient, at its parameters of up to k updates
    ago. Each of the others computes a gradient at the parameters that it was sent last, sends it, and is sent the new
    ones. An arriving g is made as long as v, and let in if it is good enough:

        g <- g |v| / |g|
        x <- x - lr g    if lr <v, g> - rho |g|^2 + lr epsilon >= 0

    Any number of the others may be hostile, and their gradients of any age. As all have the length of v, a gradient of
    an honest node with little left to learn is not small. What comes before the first v is there waits for it.

    The authors' code takes |g|^2 before g is rescaled.

    Sent: a dense vector up and one down for each gradient. W is not used.

        >>> import torch
        >>> from topologies import complete, with_hubs
        >>> programs = ZenoPlusPlus().programs(with_hubs(complete(3), 1), range(3), torch.zeros(3, 2))
        >>> [type(program).__name__ for program in programs]
        ['Contributor', 'Contributor', 'Judge']

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of updates at the server.
        rho: Weight of the squared norm, >= 0.
        epsilon: What also lets in what agrees a little less, >= 0.
        period: k, updates from one validation gradient to the next, >= 1.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    rho: float = 1e-3
    epsilon: float = 0.0
    period: int = 10

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.rho == 0 or positive(self.rho), self, "rho", ">= 0")
        check(self.epsilon == 0 or positive(self.epsilon), self, "epsilon", ">= 0")
        check(self.period >= 1, self, "period", ">= 1")

    @property
    def hubs(self) -> int:
        return 1

    @property
    def trusted(self) -> int:
        return 1

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        if graph.n < 2:
            raise ValueError("ZenoPlusPlus needs at least 2 nodes: the last one only validates what others send")
        rows = zip(nodes, x.split(1), strict=True)
        return [Contributor(row.clone()) if node < graph.n - 1 else Judge(self, row.clone()) for node, row in rows]


@dataclass(eq=False)
class Contributor(NodeProgram):
    """One that computes gradients for a server.

    Attributes:
        x: (1, d), the parameters that it was sent last.
    """

    x: Tensor

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        for server in context.neighbors:
            context.send(server, sample.gradient, "gradient")

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.x = value
        context.ask_gradient(self.x)

    @property
    def model(self) -> Tensor:
        return self.x


@dataclass(eq=False)
class Judge(NodeProgram):
    """The server of `ZenoPlusPlus`.

    Attributes:
        x: (1, d), the parameters.
        validation: (1, d), v; None before the first.
        computing: Whether another one is being computed.
        updates: How many gradients it has let in.
        refused: How many it has not.
        since: The updates since v was asked for.
        waiting: Who has sent what before the first v was there.
    """

    method: ZenoPlusPlus
    x: Tensor
    validation: Tensor | None = None
    computing: bool = False
    updates: int = 0
    refused: int = 0
    since: int = 0
    waiting: list[tuple[int, Tensor]] = field(default_factory=list)

    def on_start(self, context: NodeContext) -> None:
        self._validate(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        self.validation, self.computing = sample.gradient, False
        waiting, self.waiting = self.waiting, []
        for sender, gradient in waiting:
            self._judge(sender, gradient, context)
        self._validate_if_due(context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if self.validation is None:
            self.waiting.append((sender, value))
        else:
            self._judge(sender, value, context)

    @property
    def model(self) -> Tensor:
        return self.x

    def _judge(self, sender: int, gradient: Tensor, context: NodeContext) -> None:
        lr = learning_rate(self.method.lr, self.updates)
        gradient = self._rescaled(gradient)
        if self._is_good(gradient, lr):
            self.x = add_scaled(self.x, -lr, gradient)
            self.updates += 1
            self.since += 1
        else:
            self.refused += 1
        context.send(sender, self.x, "model")
        self._validate_if_due(context)

    def _rescaled(self, gradient: Tensor) -> Tensor:
        """As long as v; one that has no length, or none that is finite, stays as it is."""
        assert self.validation is not None
        squared = float(squared_norms(gradient))
        scale = (float(squared_norms(self.validation)) / squared) ** 0.5 if 0 < squared < float("inf") else 1.0
        return gradient * scale

    def _is_good(self, gradient: Tensor, lr: float) -> bool:
        assert self.validation is not None
        agreement = float((self.validation.double() * gradient.double()).sum())
        score = lr * agreement - self.method.rho * float(squared_norms(gradient)) + lr * self.method.epsilon
        return score >= 0

    def _validate_if_due(self, context: NodeContext) -> None:
        if self.since >= self.method.period and not self.computing:
            self._validate(context)

    def _validate(self, context: NodeContext) -> None:
        self.computing, self.since = True, 0
        context.ask_gradient(self.x)
