"""What asynchronous federated methods share: clients that train on their own, and a server that they answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.message import Message
from algorithms.network import WeightedEdges
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.program import NodeContext, NodeProgram
from algorithms.randomness import Draw, stream
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block


@dataclass(frozen=True)
class AsynchronousFederated(Asynchronous):
    """An asynchronous federated method, whose clients are the nodes of the topology; its links do not matter.

    Whenever the server sends client k its model w, the client trains from there, and answers with what it has then:

        u <- w, then `local_steps` times u <- u - lr v,  v = grad f_k(u) + mu (u - w), or what the optimizer makes of it

    The optimizer starts anew each time, unless a method says otherwise. A client that hears nothing computes nothing.

    Sent: one dense vector down and one up per answer; or what a compressor makes of both: w is then what the client has
    decoded.

    Args:
        lr: Learning rate of the local iterations, > 0, or a schedule of it, by the number of the client's own
            gradients.
        local_steps: Gradients per answer, >= 1.
        mu: Weight of the proximal term mu/2 |u - w|^2, >= 0.
        optimizer: The clients' update rule.
        compressor: What travels in the place of vectors, both ways.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    answers_difference: ClassVar[bool] = False
    """Whether clients answer with u - w, and not with u."""
    keeps_memory: ClassVar[bool] = False
    """Whether a client's optimizer goes on from what it remembered before."""

    lr: float | LearningRate = 0.1
    local_steps: int = 10
    mu: float = 0.0
    optimizer: LocalOptimizer = field(default_factory=SGD)
    compressor: Compressor | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.local_steps >= 1, self, "local_steps", ">= 1")
        check(0 <= self.mu < math.inf, self, "mu", ">= 0")
        plain = not (self.optimizer.communicates or self.optimizer.takes_norms)
        check(plain, self, "optimizer", "one that needs no more than gradients")

    @property
    def servers(self) -> int:
        return 1

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        clients = graph.n - 1
        self.check_clients(clients)
        return [
            self.server(row.clone(), clients) if node == clients else Client.starting(self, row.clone())
            for node, row in zip(nodes, x.split(1), strict=True)
        ]

    def steps_of(self, client: int) -> int:
        """Gradients per answer of this client."""
        return self.local_steps

    def check_clients(self, clients: int) -> None:
        """Raise ValueError if the method is not for so many clients."""

    def server(self, x: Tensor, clients: int) -> NodeProgram:
        """The program of the server of so many clients, which starts at x (1, d)."""
        raise NotImplementedError

    def packed(self, x: Tensor, draw: Draw) -> Tensor | Message:
        """What is sent of x (1, d)."""
        return x if self.compressor is None else self.compressor.compress(x, draw)


@dataclass(eq=False)
class Client(NodeProgram):
    """A client of an asynchronous federated method.

    Attributes:
        x: (1, d), its parameters u.
        anchor: (1, d), w, where it began.
        memory: What its update rule remembers since then.
        done: Local iterations since then.
        updates: All gradients that it has used.
    """

    method: AsynchronousFederated
    x: Tensor
    anchor: Tensor
    memory: Block | None
    done: int = 0
    updates: int = 0

    @classmethod
    def starting(cls, method: AsynchronousFederated, x: Tensor) -> Client:
        """A client that has heard nothing, at x (1, d)."""
        return cls(method, x, x, method.optimizer.start(x))

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.x = self.anchor = value
        self.done = 0
        if not self.method.keeps_memory:
            self.memory = self.method.optimizer.start(value)
        context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        method, gradient = self.method, sample.gradient
        if method.mu:
            gradient = add_scaled(gradient, method.mu, self.x - self.anchor)
        lr = learning_rate(method.lr, self.updates)
        self.x = add_scaled(self.x, *method.optimizer.update(self.x, self.memory, gradient, lr))
        self.updates += 1
        self.done += 1
        if self.done < method.steps_of(context.node):
            context.ask_gradient(self.x)
            return
        answer = self.model - self.anchor if method.answers_difference else self.model
        context.send(context.neighbors[-1], method.packed(answer, context.draw("answer")), "answer")

    @property
    def model(self) -> Tensor:
        return self.method.optimizer.model(self.x, self.memory)


def drawn(candidates: Sequence[int], number: int, draw: Draw) -> list[int]:
    """So many of these nodes, uniformly without replacement, ascending."""
    if number == len(candidates):
        return sorted(candidates)
    places = stream(draw.key(0).own).choice(len(candidates), number, replace=False)
    return sorted(candidates[place] for place in places.tolist())
