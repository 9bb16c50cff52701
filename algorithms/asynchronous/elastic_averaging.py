"""Asynchronous EASGD and EAMSGD: workers that a spring ties to a center, each at its own pace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.blocks.momentum import check_momentum
from algorithms.checks import check
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class AsynchronousElasticAveraging(Asynchronous):
    """Asynchronous EASGD, and EAMSGD with momentum: workers that a spring ties to a center, each at its own pace.

    Zhang, Choromanska, LeCun, "Deep Learning with Elastic Averaging SGD", NeurIPS 2015, arXiv 1412.6651, Algorithms 1
    and 2. A server has the center z, and is what the run outputs. Worker i counts its own iterations t_i; in each,

        if tau divides t_i:    e <- alpha (x_i - z), of the z that the server sends when it is asked
                               z <- z + e at the server;   x_i <- x_i - e after the step below
        v_i <- momentum v_i - lr g_i(x_i + momentum v_i);   x_i <- x_i + v_i

    where the gradient is that from before the pull. Each exchange keeps x_i + z, whatever others do meanwhile.

    With equal speeds, no delays and one worker after the other, p workers along curvature h are stable for 0 <= lr h <=
    2 and alpha <= (4 - 2 lr h) / (4 - lr h), for any p; the paper has alpha = 0.9 / p, the default.

    Sent, each tau iterations of a worker: a word up, a dense vector down and one up.

        >>> import torch
        >>> from topologies import complete, with_hubs
        >>> method = AsynchronousElasticAveraging()
        >>> programs = method.programs(with_hubs(complete(3), 1, 1), range(4), torch.zeros(4, 2))
        >>> [type(program).__name__ for program in programs], programs[0].alpha
        (['ElasticWorker', 'ElasticWorker', 'ElasticWorker', 'Center'], 0.3)

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the worker's own gradients.
        alpha: Elasticity, in [0, 1]; 0 leaves all workers alone. 0.9 / p by default, of p workers.
        period: tau, a worker's iterations from one exchange to the next, >= 1.
        momentum: Nesterov momentum of each worker, in [0, 1); 0 is EASGD.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    alpha: float | None = None
    period: int = 1
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.alpha is None or 0 <= self.alpha <= 1, self, "alpha", "in [0, 1], or None")
        check(self.period >= 1, self, "period", ">= 1")
        check_momentum(self, self.momentum)

    @property
    def servers(self) -> int:
        return 1

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        workers = graph.n - 1
        alpha = 0.9 / workers if self.alpha is None else self.alpha
        rows = zip(nodes, x.split(1), strict=True)
        return [
            ElasticWorker(self, row.clone(), alpha) if node < workers else Center(row.clone()) for node, row in rows
        ]


@dataclass(eq=False)
class ElasticWorker(NodeProgram):
    """One worker of `AsynchronousElasticAveraging`.

    Attributes:
        x: (1, d), its model.
        alpha: The elasticity.
        velocity: (1, d), v; None before the first step, when it is 0.
        pull: (1, d), e, which x moves back by after this step; None without an exchange.
        steps: The gradients that it has used.
        waiting: Whether it waits for the center.
    """

    method: AsynchronousElasticAveraging
    x: Tensor
    alpha: float
    velocity: Tensor | None = None
    pull: Tensor | None = None
    steps: int = 0
    waiting: bool = False

    def on_start(self, context: NodeContext) -> None:
        self._iterate(context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.waiting = False
        self.pull = self.alpha * (self.x - value)
        context.send(sender, self.pull, "difference")
        self._ask(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        step = -learning_rate(self.method.lr, self.steps) * sample.gradient
        if self.method.momentum:
            step = step if self.velocity is None else self.method.momentum * self.velocity + step
            self.velocity = step
        self.x = self.x + step
        if self.pull is not None:
            self.x, self.pull = self.x - self.pull, None
        self.steps += 1
        self._iterate(context)

    @property
    def model(self) -> Tensor:
        return self.x

    def _iterate(self, context: NodeContext) -> None:
        if self.steps % self.method.period == 0 and context.neighbors:
            self.waiting = True
            context.send(context.neighbors[0], self.x.new_zeros(1, 1), "fetch")
        else:
            self._ask(context)

    def _ask(self, context: NodeContext) -> None:
        ahead = self.x if self.velocity is None else self.x + self.method.momentum * self.velocity
        context.ask_gradient(ahead)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        """Without a center the worker goes on alone."""
        if self.waiting:
            self.waiting = False
            self._ask(context)


@dataclass(eq=False)
class Center(NodeProgram):
    """The server: tells its row to who asks for it, and adds to it what it is told otherwise.

    Attributes:
        x: (1, d).
    """

    x: Tensor

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if kind != "fetch":
            self.x = self.x + value
        if kind != "difference":
            context.send(sender, self.x, "center")

    @property
    def model(self) -> Tensor:
        return self.x
