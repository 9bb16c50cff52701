"""AD-PSGD: gradients at models that neighbours average meanwhile, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.message import Message
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate

Active = Literal["half", "all"]


@dataclass(frozen=True)
class AdPsgd(Asynchronous):
    """AD-PSGD: gradients at models that neighbours average meanwhile, two at a time.

    Lian, Zhang, Zhang, Liu, "Asynchronous Decentralized Parallel Stochastic Gradient Descent", ICML 2018, arXiv
    1710.06952. Each node i goes through iterations at its own pace, of which each begins with a gradient at its model:

        meanwhile   x_i, x_j <- (x_i + x_j) / 2 with a neighbour j drawn at random, and with those that draw i
        then        x_i <- x_i - lr v_i, where v_i is that gradient, or the local momentum

    So the gradient is that of a model from before these averagings. An averaging is atomic: neither of the two models
    changes between what is sent of it and what is made of it. Who waits for an answer lets its next gradient wait too.

    With `active` = "half" the graph must be bipartite. The half that does not have node 0 is active and begins the
    averagings; the other one only answers, at once, so that no two nodes ever wait for each other (the paper's way).
    With "all", on any graph, all nodes are active. A node that waits for an answer itself lets neighbours with smaller
    numbers wait until it has it, and refuses the others, which then do without an averaging in that iteration: as
    nobody waits for a smaller number that waits, there is no circle.

    Who waits for a node that is lost goes on as if it had been refused.

    Sent: one dense vector to j and one back, per iteration of an active node; eight bytes or less for a refusal.

    With a compressor C, which the paper does not have, C(x_i) and C(x_j) travel, and each of the two adds half of the
    difference of what it has heard and what it has sent, so that x_i + x_j stays what it was. The error of C(x) does
    not vanish where all models agree, so C must be a fine quantizer; sparsifiers will not do.

        >>> import torch
        >>> from topologies import ring
        >>> programs = AdPsgd(lr=0.5).programs(ring(4), range(4), torch.zeros(4, 1))
        >>> [program.active for program in programs]
        [False, True, False, True]

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        active: Whether one "half" of a bipartite graph begins averagings, or "all" nodes do.
        compressor: What travels in the place of the models.
    """

    needs = ("symmetric",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    active: Active = "half"
    compressor: Compressor | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)
        check(self.active in get_args(Active), self, "active", f"one of {', '.join(get_args(Active))}")

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        active = np.ones(graph.n, bool)
        if self.active == "half":
            halves = two_halves(graph)
            check(halves is not None, self, "active", "all on this graph, which has a cycle of odd length")
            assert halves is not None
            active = halves
        rows = zip(nodes, x.split(1), strict=True)
        return [
            AdPsgdNode(self, row.clone(), Momentum.start(row, self.momentum, self.nesterov), bool(active[node]))
            for node, row in rows
        ]


@dataclass(eq=False)
class AdPsgdNode(NodeProgram):
    """One node of `AdPsgd`.

    Attributes:
        x: (1, d), its model.
        active: Whether it begins averagings.
        updates: The gradients that it has used.
        asked: Whether it waits for the answer of a neighbour.
        partner: The last one that it has asked.
        sent: (1, d), what that neighbour has been told of x, with a compressor.
        waiting: The gradient that waits for this, if there is one.
        deferred: The neighbours that wait for this, and what they have told.
    """

    method: AdPsgd
    x: Tensor
    momentum: Momentum
    active: bool
    updates: int = 0
    asked: bool = False
    partner: int = -1
    sent: Tensor | None = None
    waiting: Tensor | None = None
    deferred: list[tuple[int, Tensor]] = field(default_factory=list)

    def on_start(self, context: NodeContext) -> None:
        self._iterate(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        if self.asked:
            self.waiting = sample.gradient
        else:
            self._use(sample.gradient, context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if kind == "model":
            if not self.asked:
                self._answer(sender, value, context)
            elif sender < context.node:
                self.deferred.append((sender, value))
            else:
                context.send(sender, self.x.new_zeros(1, 1), "refusal")
            return
        if kind == "answer":
            self._average(value, self.sent)
        self._go_on(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self.deferred = [each for each in self.deferred if each[0] != neighbor]
        if self.asked and self.partner == neighbor:
            self._go_on(context)

    def _go_on(self, context: NodeContext) -> None:
        """Nothing is waited for any more."""
        self.asked, self.sent = False, None
        deferred, self.deferred = self.deferred, []
        for neighbor, model in deferred:
            self._answer(neighbor, model, context)
        if self.waiting is not None:
            gradient, self.waiting = self.waiting, None
            self._use(gradient, context)

    @property
    def model(self) -> Tensor:
        return self.x

    def _iterate(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)
        neighbors = context.neighbors
        if self.active and neighbors:
            partner = neighbors[context.draw("partner").key(0).own % len(neighbors)]
            self.asked, self.partner = True, partner
            self.sent = self._tell(partner, "model", context)

    def _use(self, gradient: Tensor, context: NodeContext) -> None:
        lr = learning_rate(self.method.lr, self.updates)
        self.x = self.x - lr * self.momentum.descend(gradient)
        self.updates += 1
        self._iterate(context)

    def _answer(self, neighbor: int, model: Tensor, context: NodeContext) -> None:
        self._average(model, self._tell(neighbor, "answer", context))

    def _tell(self, neighbor: int, kind: str, context: NodeContext) -> Tensor | None:
        """Send x; what the neighbour decodes of it, where that is something else."""
        if self.method.compressor is None:
            context.send(neighbor, self.x, kind)
            return None
        message: Message = self.method.compressor.compress(self.x, context.draw(f"{kind} to {neighbor}"))
        context.send(neighbor, message, kind)
        return message.dense()

    def _average(self, heard: Tensor, told: Tensor | None) -> None:
        """Average x with what has been heard, which is used up, given what the other one was told."""
        if told is None:
            self.x = heard.add_(self.x).mul_(0.5)
        else:
            self.x = self.x + heard.sub_(told).mul_(0.5)


def two_halves(graph: WeightedEdges) -> NDArray[np.bool_] | None:
    """(n,): in which half each node is, False for that of 0, or None if the graph is not bipartite.

    Of a graph in several parts, the same holds for the smallest number of each.
    """
    indptr, neighbors = graph.arrays.indptr, graph.arrays.indices
    halves = np.full(graph.n, -1)
    for first in range(graph.n):
        if halves[first] >= 0:
            continue
        halves[first] = 0
        reached = [first]
        for node in reached:
            others = [int(each) for each in neighbors[indptr[node] : indptr[node + 1]] if each != node]
            if any(halves[other] == halves[node] for other in others):
                return None
            new = [other for other in others if halves[other] < 0]
            halves[new] = 1 - halves[node]
            reached.extend(new)
    return halves == 1
