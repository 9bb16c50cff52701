"""Asynchronous ZenoPS: local steps and compressed updates, which a validator bends towards one of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.message import Message
from algorithms.network import WeightedEdges
from algorithms.numerics.sums import add_scaled, squared_norms
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class AsynchronousZenoPS(Asynchronous):
    """Asynchronous ZenoPS: local steps and compressed updates, which a validator bends towards one of its own.

    Xie, Koyejo, Gupta, "ZenoPS: A Distributed Learning System Integrating Communication Efficiency and Security",
    Algorithms 15(7):233, 2022, with the authors' released code. The last node is the validator, and has the parameters
    w, which is what the run outputs. Everybody, the validator too, trains on its own from c_i, for tau iterations

        x_i <- x_i - lr (gradient, or Nesterov's direction);   x_i <- (1 - rho) x_i + rho c_i

    and has come D_i = x_i - c_i then; that of the validator is v, and it begins again at w. A worker sends u = C(D_i),
    is sent w, and goes on from x_i = c_i = w + (D_i - u): what was not sent stays in its model for a period, and is
    dropped after that. Of an arriving u, made no longer than v,

        w <- w + alpha u          if cos(u, v) >= threshold
        w <- w + alpha cos(u, v) u    otherwise, so that what goes the other way is turned around

    What comes before the first v is there waits for it. The authors' code scores tensor by tensor; here the score is
    that of the whole update.

    Sent: a message up and a dense vector down for each update. W is not used.

        >>> import torch
        >>> from topologies import complete, with_hubs
        >>> programs = AsynchronousZenoPS().programs(with_hubs(complete(3), 1), range(3), torch.zeros(3, 2))
        >>> [type(program).__name__ for program in programs]
        ['Trainer', 'Trainer', 'Validator']

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        period: tau, a node's iterations from one update to the next, >= 1.
        compressor: C, a contraction; updates are sent as they are by default.
        momentum: Nesterov's momentum of each node, in [0, 1), which goes on over periods.
        rho: How far each step is pulled back to where the period began, in [0, 1).
        alpha: Weight of an update, in (0, 1].
        threshold: Of the cosine, in [-1, 1].
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int = 8
    compressor: Compressor | None = None
    momentum: float = 0.0
    rho: float = 0.2
    alpha: float = 0.4
    threshold: float = -0.02

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.period >= 1, self, "period", ">= 1")
        check_momentum(self, self.momentum)
        check(0 <= self.rho < 1, self, "rho", "in [0, 1)")
        check(0 < self.alpha <= 1, self, "alpha", "in (0, 1]")
        check(-1 <= self.threshold <= 1, self, "threshold", "in [-1, 1]")

    @property
    def hubs(self) -> int:
        return 1

    @property
    def trusted(self) -> int:
        return 1

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        if graph.n < 2:
            raise ValueError("AsynchronousZenoPS needs at least 2 nodes: the last one only validates what others send")
        made: list[NodeProgram] = []
        for node, row in zip(nodes, x.split(1), strict=True):
            momentum = Momentum.start(row, self.momentum, nesterov=self.momentum > 0)
            local = row.clone(), row.clone(), momentum
            made.append(Trainer(self, *local) if node < graph.n - 1 else Validator(self, *local, weights=row.clone()))
        return made


@dataclass(eq=False)
class Trainer(NodeProgram):
    """A worker of `AsynchronousZenoPS`.

    Attributes:
        x: (1, d), its parameters.
        anchor: (1, d), c, where its period began.
        done: The iterations since then.
        steps: All gradients that it has used.
        kept: (1, d), what was not sent of its last update.
    """

    method: AsynchronousZenoPS
    x: Tensor
    anchor: Tensor
    momentum: Momentum
    done: int = 0
    steps: int = 0
    kept: Tensor | None = None

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        method = self.method
        lr = learning_rate(method.lr, self.steps)
        self.x = add_scaled(self.x, -lr, self.momentum.descend(sample.gradient))
        self.x = add_scaled(self.x, -method.rho, self.x - self.anchor)
        self.steps += 1
        self.done += 1
        if self.done < method.period:
            context.ask_gradient(self.x)
        else:
            self.end_period(context)

    def end_period(self, context: NodeContext) -> None:
        """Send the update, and wait for what comes of it."""
        update = self.x - self.anchor
        sent: Tensor | Message = update
        if self.method.compressor is not None:
            sent = self.method.compressor.compress(update, context.draw("update"))
            self.kept = update - sent.dense()
        for validator in context.neighbors:
            context.send(validator, sent, "update")

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.begin_period(value if self.kept is None else value + self.kept, context)

    def begin_period(self, x: Tensor, context: NodeContext) -> None:
        """Go on from there."""
        self.x = self.anchor = x
        self.done = 0
        context.ask_gradient(self.x)

    @property
    def model(self) -> Tensor:
        return self.x


@dataclass(eq=False)
class Validator(Trainer):
    """The last node of `AsynchronousZenoPS`; for its other attributes see `Trainer`.

    Attributes:
        weights: (1, d), w.
        own: (1, d), v; None before the first.
        waiting: Who has sent what before that.
    """

    weights: Tensor = field(kw_only=True)
    own: Tensor | None = None
    waiting: list[tuple[int, Tensor]] = field(default_factory=list)

    def end_period(self, context: NodeContext) -> None:
        self.own = self.x - self.anchor
        waiting, self.waiting = self.waiting, []
        for sender, update in waiting:
            self._use(sender, update, context)
        self.begin_period(self.weights, context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if self.own is None:
            self.waiting.append((sender, value))
        else:
            self._use(sender, value, context)

    @property
    def model(self) -> Tensor:
        return self.weights

    def _use(self, sender: int, update: Tensor, context: NodeContext) -> None:
        assert self.own is not None
        length, own = math.sqrt(float(squared_norms(update))), math.sqrt(float(squared_norms(self.own)))
        if 0 < length < math.inf and own > 0:
            cosine = float((update.double() * self.own.double()).sum()) / (length * own)
            factor = self.method.alpha * min(1.0, own / length)
            self.weights = add_scaled(
                self.weights, factor if cosine >= self.method.threshold else factor * cosine, update
            )
        context.send(sender, self.weights, "weights")
