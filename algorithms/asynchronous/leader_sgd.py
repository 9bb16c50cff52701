"""Asynchronous leader SGD: every node at its own pace, pulled towards the one that does best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.network import WeightedEdges
from algorithms.numerics.sums import add_scaled
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class AsynchronousLeaderSGD(Asynchronous):
    """Asynchronous leader SGD (LSGD): every node at its own pace, pulled towards the one that does best.

    Teng, Gao, Chalus, Choromanska, Goldfarb, Weller, "Leader Stochastic Gradient Descent for Distributed Training of
    Deep Learning Models", NeurIPS 2019, arXiv 1905.10395; see `LeaderSGD` for the nodes in lockstep. As in the authors'
    code, leaders are chosen whenever all nodes together have done tau iterations each on average, by the losses that
    each saw in its last tau ones. Here nobody waits for that: a server without a model counts and compares, and asks
    the leader l of each group, that of smallest number if several are, and every time that tau_G iterations are over
    the leader of all L, for their models, which it hands on to the others as they come.

        each iteration                  x_i <- x_i - lr v_i,   v_i the gradient, or Nesterov's direction
                                        x_i <- x_i - (global_proximal / tau_G) (x_i - L)
                                        x_i <- x_i - (proximal / tau) (x_i - l)
        when a model of l, or L, comes  it is stored;   x_i <- x_i - pull (x_i - l), or global_pull (x_i - L)

    A gradient is that at x_i of when the iteration began. A leader is not pulled towards itself. A single group has
    only l. What is evaluated is the average of all nodes.

    Sent: a node's loss, a number, up every tau of its iterations; a word down to each leader, its model up, and down to
    each of the others.

        >>> import torch
        >>> from topologies import complete, with_hubs
        >>> programs = AsynchronousLeaderSGD().programs(with_hubs(complete(3), 1, 1), range(4), torch.zeros(4, 2))
        >>> [type(program).__name__ for program in programs]
        ['Follower', 'Follower', 'Follower', 'Chooser']

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        period: tau, iterations from one choice of the groups' leaders to the next, on average over the nodes, >= 1.
        pull: Its strength, in [0, 1].
        proximal: Strength of the pull towards the stored leader, over a whole period, in [0, period].
        groups: How many groups of neighbouring node numbers, of equal size but for rounding, >= 1.
        global_every: Every how many periods the leader of all is chosen, tau_G / tau >= 1; only with several groups.
        global_pull: Its strength, in [0, 1].
        global_proximal: As `proximal`, for the leader of all, over tau_G iterations, in [0, tau_G].
        momentum: Nesterov's momentum of each node, in [0, 1).
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int = 4
    pull: float = 0.1
    proximal: float = 0.0
    groups: int = 1
    global_every: int = 4
    global_pull: float = 0.1
    global_proximal: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.period >= 1, self, "period", ">= 1")
        check(self.groups >= 1, self, "groups", ">= 1")
        check(self.global_every >= 1, self, "global_every", ">= 1")
        for name in ("pull", "global_pull"):
            check(0 <= getattr(self, name) <= 1, self, name, "in [0, 1]")
        check(0 <= self.proximal <= self.period, self, "proximal", f"in [0, {self.period}]")
        whole = self.period * self.global_every
        check(0 <= self.global_proximal <= whole, self, "global_proximal", f"in [0, {whole}]")
        check_momentum(self, self.momentum)

    @property
    def acts_on_losses(self) -> bool:
        return True

    @property
    def servers(self) -> int:
        return 1

    @property
    def outputs_hub(self) -> bool:
        return False

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        n = graph.n - 1
        check(self.groups <= n, self, "groups", f"at most {n}, the number of nodes")
        rows = zip(nodes, x.split(1), strict=True)
        nesterov = self.momentum > 0
        return [
            Follower(self, row.clone(), Momentum.start(row, self.momentum, nesterov))
            if node < n
            else Chooser(self, row.clone(), [node * self.groups // n for node in range(n)])
            for node, row in rows
        ]


@dataclass(eq=False)
class Follower(NodeProgram):
    """One node of `AsynchronousLeaderSGD`.

    Attributes:
        x: (1, d), its model.
        leader: (1, d), the stored leader of its group; None before the first.
        global_leader: (1, d), that of all.
        losses: Those of its last iterations, up to a period.
        steps: The gradients that it has used.
    """

    method: AsynchronousLeaderSGD
    x: Tensor
    momentum: Momentum
    leader: Tensor | None = None
    global_leader: Tensor | None = None
    losses: list[float] = field(default_factory=list)
    steps: int = 0

    def on_start(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        method = self.method
        direction = self.momentum.descend(sample.gradient)
        self.x = add_scaled(self.x, -learning_rate(method.lr, self.steps), direction)
        if self.global_leader is not None:
            strength = method.global_proximal / (method.period * method.global_every)
            self.x = add_scaled(self.x, -strength, self.x - self.global_leader)
        if self.leader is not None:
            self.x = add_scaled(self.x, -method.proximal / method.period, self.x - self.leader)
        self.steps += 1
        self.losses.append(float(sample.loss))
        if self.steps % method.period == 0:
            mean = self.x.new_full((1, 1), sum(self.losses) / len(self.losses))
            self.losses = []
            for server in context.neighbors:
                context.send(server, mean, "loss")
        context.ask_gradient(self.x)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if kind.startswith("ask"):
            context.send(sender, self.x, kind.removeprefix("ask "))
        elif kind == "leader":
            self.leader = value
            self.x = add_scaled(self.x, -self.method.pull, self.x - value)
        else:
            self.global_leader = value
            self.x = add_scaled(self.x, -self.method.global_pull, self.x - value)

    @property
    def model(self) -> Tensor:
        return self.x


@dataclass(eq=False)
class Chooser(NodeProgram):
    """The server of `AsynchronousLeaderSGD`.

    Attributes:
        x: (1, d), where all began; it has no model.
        groups: The number of each node's group.
        losses: Node -> the last loss that it has told.
        told: How many have been told since leaders were chosen.
        choices: How often they were.
    """

    method: AsynchronousLeaderSGD
    x: Tensor
    groups: list[int]
    losses: dict[int, float] = field(default_factory=dict)
    told: int = 0
    choices: int = 0

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if kind == "loss":
            self.losses[sender] = float(value)
            self.told += 1
            if self.told >= len(context.neighbors):
                self._choose(context)
            return
        group = self.groups[sender]
        for node in context.neighbors:
            if node != sender and (kind == "global leader" or self.groups[node] == group):
                context.send(node, value, kind)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self.losses.pop(neighbor, None)

    @property
    def model(self) -> Tensor:
        return self.x

    def _choose(self, context: NodeContext) -> None:
        """Ask the best of each group for its model, and the best of all if that is due."""
        self.told = 0
        self.choices += 1
        word = self.x.new_zeros(1, 1)
        best = sorted(self.losses, key=lambda node: (self.losses[node], node))
        for group in range(self.method.groups):
            leader = next((node for node in best if self.groups[node] == group), None)
            if leader is not None:
                context.send(leader, word, "ask leader")
        if self.method.groups > 1 and self.choices % self.method.global_every == 0:
            context.send(best[0], word, "ask global leader")
