"""Overlap stochastic gradient push (OSGP): push-sum SGD whose messages may come some iterations late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.asynchronous.pairing import others_of
from algorithms.asynchronous.push_sum import check_own_shares, columns
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.push_sum import PushSum
from algorithms.checks import check
from algorithms.network import WeightedEdges
from algorithms.numerics.sums import add_scaled
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class OverlapPushSum(Asynchronous):
    """Overlap stochastic gradient push (OSGP): push-sum SGD whose messages may come some iterations late.

    Assran, Loizou, Ballas, Rabbat, "Stochastic Gradient Push for Distributed Deep Learning", ICML 2019, arXiv
    1811.10792, section 4 and its appendix on overlap. Node i has a numerator n_i (the paper's x_i), a weight w_i, 1 at
    the start, and z_i = n_i / w_i. In its iteration k, from 0, with the gradient v_i, or local momentum, at z_i, it

        moves     h_i = n_i - lr v_i
        pushes    p_ji h_i and p_ji w_i to each out-neighbour j, and keeps n_i = p_ii h_i and p_ii w_i
        adds      all that has come and was pushed in iterations up to k of its senders

    The last of these waits until what was pushed in iteration k - staleness has come from every in-neighbour. So what
    is pushed in iteration k is used in one of the iterations k .. k + staleness of the receiver, and nothing that a
    faster node has pushed in later ones is used before. Weights are as late as numerators: the sums of both are kept,
    with those that travel and wait.

    With staleness 0 this is `PushSumSGD`, in which every node waits for its in-neighbours only. With staleness 1 and
    messages that take less time than a gradient, but some, it is `PushSumSGD(overlap=True)`.

    Nodes are never more than staleness + 1 iterations apart from their neighbours: unlike `AsynchronousPushSum`, a slow
    node slows all of them down in the end, and none counts more than another. What it spares them is to wait for
    messages, and for nodes that are slow now and then.

    Sent: one dense vector of d + 1 numbers to each out-neighbour, per gradient.

        >>> from topologies import exponential
        >>> programs = OverlapPushSum(lr=0.5, staleness=2).programs(exponential(4), [0, 1], torch.ones(2, 1))
        >>> [(sorted(program.heard), program.model.item()) for program in programs]
        [([2, 3], 1.0), ([0, 3], 1.0)]

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        staleness: How many iterations late a message may come, >= 0; the paper's tau.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs = ("column_stochastic",)

    lr: float | LearningRate = 0.1
    staleness: int = 1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.staleness >= 0, self, "staleness", ">= 0")
        check_momentum(self, self.momentum, self.nesterov)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        shares = columns(graph)
        check_own_shares(self, shares, nodes)
        return [
            OverlapPushSumNode(
                self,
                PushSum.start(row),
                Momentum.start(row, self.momentum, self.nesterov),
                shares[node],
                {other: [] for other in others_of(graph, node)},
                dict.fromkeys(others_of(graph, node), 0),
            )
            for node, row in zip(nodes, x.split(1), strict=True)
        ]


@dataclass(eq=False)
class OverlapPushSumNode(NodeProgram):
    """One node of `OverlapPushSum`.

    Attributes:
        push_sum: Its numerator (1, d) and weight (1, 1).
        shares: Out-neighbour -> what part of both it is sent, and what the node itself keeps.
        heard: In-neighbour -> what it has pushed, (1, d + 1), that has come and has not been added, in its order.
        added: In-neighbour -> of how many of its iterations this has been added.
        updates: The gradients that it has used.
        waits: Whether it waits for messages.
    """

    method: OverlapPushSum
    push_sum: PushSum
    momentum: Momentum
    shares: dict[int, float]
    heard: dict[int, list[Tensor]]
    added: dict[int, int]
    updates: int = 0
    waits: bool = False

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.push_sum.ratio)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        lr = learning_rate(self.method.lr, self.updates)
        self.updates += 1
        moved = add_scaled(self.push_sum.numerator, -lr, self.momentum.descend(sample.gradient))
        whole = torch.cat([moved, self.push_sum.weight], dim=1)
        for neighbor in context.neighbors:
            context.send(neighbor, self.shares[neighbor] * whole)
        own = self.shares[context.node]
        self.push_sum = PushSum(own * moved, own * self.push_sum.weight)
        self.waits = True
        self._go_on(context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.heard[sender].append(value)
        self._go_on(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self.shares[context.node] += self.shares.pop(neighbor, 0.0)
        for value in [*self.heard.pop(neighbor, []), *(value for value, _ in returned)]:
            self._add(value)
        self._go_on(context)

    @property
    def model(self) -> Tensor:
        return self.push_sum.ratio

    @property
    def mass(self) -> float:
        waiting = sum(float(value[0, -1]) for heard in self.heard.values() for value in heard)
        return float(self.push_sum.weight) + waiting

    def _go_on(self, context: NodeContext) -> None:
        """Begin the next iteration if this one waits for nothing any more."""
        due = self.updates - self.method.staleness
        if not self.waits or any(self.added[each] + len(heard) < due for each, heard in self.heard.items()):
            return
        for sender, heard in self.heard.items():
            now = heard[: self.updates - self.added[sender]]
            self.heard[sender] = heard[len(now) :]
            self.added[sender] += len(now)
            for value in now:
                self._add(value)
        self.waits = False
        context.ask_gradient(self.push_sum.ratio)

    def _add(self, value: Tensor) -> None:
        self.push_sum = self.push_sum + PushSum(value[:, :-1], value[:, -1:])
