"""Asynchronous push-sum SGD: numerators and weights that nodes push on whenever they have a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.push_sum import PushSum
from algorithms.network import WeightedEdges
from algorithms.numerics.sums import add_scaled
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class AsynchronousPushSum(Asynchronous):
    """Asynchronous push-sum SGD: numerators and weights that nodes push on whenever they have a gradient.

    Assran & Rabbat, "Asynchronous Gradient Push", IEEE TAC 66(1), 2021, arXiv 1803.08950. Node i has a numerator n_i
    and a weight w_i, 1 at the start. With each gradient v_i, or local momentum, at z_i = n_i / w_i, it

        moves     n_i <- n_i - lr v_i
        pushes    p_ji n_i and p_ji w_i to each out-neighbour j, and keeps p_ii n_i and p_ii w_i

    and whatever it is sent it adds to its own, at once. P is the mixing matrix, whose columns sum to 1: so the sums of
    all n_i and of all w_i, with those that travel, are what they would be without messages, at any time and in any
    order. The graph may be directed. Nobody waits for anybody.

    Nodes that compute more often push more often and move the average more often: where the data differ from node to
    node, the limit leans towards the faster ones. A node that has pushed several times before it is sent anything has
    little weight left, and lr / w_i is the step of its z_i: the more speeds differ, the smaller lr must be. So a
    run of it ends at a time: where each node computes as many gradients, the last ones to do so give all away.

    With running sums, messages may be lost (Hadjicostis, Vaidya & Dominguez-Garcia, "Robust Distributed Average
    Consensus via Exchange of Running Sums", IEEE TAC 61(6), 2016): a node sends the sum of all that it has ever given
    to j, and j adds the difference to what it was sent before. So what is lost comes with the next message. It takes a
    vector more per link at both of its ends, and the rounding errors are those of the sums, which grow.

    When a neighbour is lost, a node keeps what that would have been sent, and takes back what has not come
    there; what the lost one had is lost.

    Sent: one dense vector of d + 1 numbers to each out-neighbour, per gradient. It is not compressed: what is left out
    of a numerator would be there with its weight.

        >>> from topologies import exponential
        >>> programs = AsynchronousPushSum(lr=0.5).programs(exponential(2), [0, 1], torch.ones(2, 1))
        >>> [(program.shares, program.model.item()) for program in programs]
        [({0: 0.5, 1: 0.5}, 1.0), ({0: 0.5, 1: 0.5}, 1.0)]

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        running_sums: Send running sums, for networks that lose messages.
    """

    needs = ("column_stochastic",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    running_sums: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        shares = columns(graph)
        check_own_shares(self, shares, nodes)
        rows = zip(nodes, x.split(1), strict=True)
        return [
            PushSumNode(self, whole_of(row), Momentum.start(row, self.momentum, self.nesterov), shares[node])
            for node, row in rows
        ]


@dataclass(eq=False)
class PushSumNode(NodeProgram):
    """One node of `AsynchronousPushSum`.

    Attributes:
        whole: (1, d + 1), its numerator and then its weight.
        shares: Out-neighbour -> what part of both it is sent, and what the node itself keeps.
        updates: The gradients that it has used.
        told: Out-neighbour -> the running sum (1, d + 1) of what it has been given, with running sums.
        heard: In-neighbour -> the last running sum that has come from there.
    """

    method: AsynchronousPushSum
    whole: Tensor
    momentum: Momentum
    shares: dict[int, float]
    updates: int = 0
    told: dict[int, Tensor] = field(default_factory=dict)
    heard: dict[int, Tensor] = field(default_factory=dict)

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.model)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        lr = learning_rate(self.method.lr, self.updates)
        self.updates += 1
        numerator, weight = parts(self.whole)
        add_scaled(numerator, -lr, self.momentum.descend(sample.gradient), out=numerator)
        given = {share: share * self.whole for share in {*self.shares.values()}}  # as a rule many are the same
        for neighbor in context.neighbors:
            told = given[self.shares[neighbor]]
            if self.method.running_sums:
                told = self.told[neighbor] = self.told.get(neighbor, 0.0) + told
            context.send(neighbor, told)
        self.whole *= self.shares[context.node]
        context.ask_gradient(numerator / weight)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if self.method.running_sums:
            value, self.heard[sender] = value - self.heard.get(sender, 0.0), value
        self.whole += value

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self.shares[context.node] += self.shares.pop(neighbor, 0.0)
        if self.method.running_sums:  # of the first one that came back it is not known what it adds
            self.told.pop(neighbor, None)
            returned = [(returned[-1][0] - returned[0][0], "")] if returned else []
        for value, _ in returned:
            self.whole += value

    @property
    def mass(self) -> float:
        return float(self.whole[0, -1])

    @property
    def push_sum(self) -> PushSum:
        """Its numerator (1, d) and weight (1, 1), which change with it."""
        return PushSum(*parts(self.whole))

    @property
    def model(self) -> Tensor:
        return self.push_sum.ratio


def whole_of(x: Tensor) -> Tensor:
    """(1, d + 1): the numerator x (1, d) and a weight of 1."""
    return torch.cat([x, x.new_ones(1, 1)], dim=1)


def parts(whole: Tensor) -> tuple[Tensor, Tensor]:
    """The numerator (1, d) and the weight (1, 1) in it, which change with it."""
    numerator, weight = whole.split_with_sizes((whole.shape[1] - 1, 1), dim=1)
    return numerator, weight


def columns(graph: WeightedEdges) -> list[dict[int, float]]:
    """Of each node, what share of its own it gives to whom, by the columns of the mixing matrix."""
    matrix = graph.arrays
    listeners = np.repeat(np.arange(graph.n), np.diff(matrix.indptr))
    shares: list[dict[int, float]] = [{} for _ in range(graph.n)]
    triples = zip(listeners.tolist(), matrix.indices.tolist(), matrix.data.tolist(), strict=True)
    for listener, sender, weight in triples:
        shares[sender][listener] = weight
    return shares


def check_own_shares(owner: object, shares: Sequence[dict[int, float]], nodes: Sequence[int]) -> None:
    """Refuse nodes that keep nothing of their own.

    Raises:
        ValueError: One of these nodes does not.
    """
    for node in nodes:
        if not shares[node].get(node, 0.0) > 0:
            raise ValueError(
                f"{type(owner).__name__}: node {node} keeps no share of its own in this mixing matrix, and would "
                f"have no weight; give it one on the diagonal"
            )
