"""DOWNPOUR SGD: workers that push what they have accrued to a server, and go on from its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.asynchronous.elastic_averaging import Center
from algorithms.checks import check
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class Downpour(Asynchronous):
    """DOWNPOUR SGD: workers that push what they have accrued to a server, and go on from its parameters.

    Dean, Corrado, Monga, et al., "Large Scale Distributed Deep Networks", NeurIPS 2012; in the form of Zhang,
    Choromanska, LeCun, "Deep Learning with Elastic Averaging SGD", NeurIPS 2015, arXiv 1412.6651, Algorithm 3. A server
    has the parameters z, and is what the run outputs. Worker i counts its own iterations t_i; in each,

        if tau divides t_i:    z <- z + v_i at the server;   x_i <- that z;   v_i <- 0
        x_i <- x_i - lr g_i(x_i);   v_i <- v_i - lr g_i(x_i)

    With tau = 1 it is asynchronous SGD with a server: with p workers of equal speed, a gradient is p - 1 updates old.

    Sent, each tau iterations of a worker: a dense vector up, at its start a word, and one down.

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the worker's own gradients.
        period: tau, a worker's iterations from one exchange to the next, >= 1.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int = 1

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.period >= 1, self, "period", ">= 1")

    @property
    def servers(self) -> int:
        return 1

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        rows = zip(nodes, x.split(1), strict=True)
        return [DownpourWorker(self, row.clone()) if node < graph.n - 1 else Center(row.clone()) for node, row in rows]


@dataclass(eq=False)
class DownpourWorker(NodeProgram):
    """One worker of `Downpour`.

    Attributes:
        x: (1, d), its model.
        accrued: (1, d), v; None where it is 0.
        steps: The gradients that it has used.
        waiting: Whether it waits for the server.
    """

    method: Downpour
    x: Tensor
    accrued: Tensor | None = None
    steps: int = 0
    waiting: bool = False

    def on_start(self, context: NodeContext) -> None:
        self._iterate(context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.x, self.waiting = value, False
        context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        step = -learning_rate(self.method.lr, self.steps) * sample.gradient
        self.x = self.x + step
        self.accrued = step if self.accrued is None else self.accrued + step
        self.steps += 1
        self._iterate(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        """Without a server the worker goes on alone."""
        if self.waiting:
            self.waiting = False
            context.ask_gradient(self.x)

    @property
    def model(self) -> Tensor:
        return self.x

    def _iterate(self, context: NodeContext) -> None:
        if self.steps % self.method.period or not context.neighbors:
            context.ask_gradient(self.x)
            return
        self.waiting = True
        if self.accrued is None:
            context.send(context.neighbors[0], self.x.new_zeros(1, 1), "fetch")
        else:
            context.send(context.neighbors[0], self.accrued, "push")
            self.accrued = None
