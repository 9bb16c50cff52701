"""AD-PSGD: gradients at models that neighbours average meanwhile, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.asynchronous.pairing import Active, Pairing, active_nodes, check_active
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.compressors.compressor import Compressor
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


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
        check_active(self, self.active)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        active = active_nodes(self, self.active, graph)
        rows = zip(nodes, x.split(1), strict=True)
        return [
            AdPsgdNode(
                self,
                row.clone(),
                Momentum.start(row, self.momentum, self.nesterov),
                bool(active[node]),
                Pairing(self.compressor),
            )
            for node, row in rows
        ]


@dataclass(eq=False)
class AdPsgdNode(NodeProgram):
    """One node of `AdPsgd`.

    Attributes:
        x: (1, d), its model.
        active: Whether it begins averagings.
        pairing: Those that are under way.
        updates: The gradients that it has used.
        waiting: The gradient that waits for an answer, if there is one.
    """

    method: AdPsgd
    x: Tensor
    momentum: Momentum
    active: bool
    pairing: Pairing
    updates: int = 0
    waiting: Tensor | None = None

    def on_start(self, context: NodeContext) -> None:
        self._iterate(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        if self.pairing.waits:
            self.waiting = sample.gradient
        else:
            self._use(sample.gradient, context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if self.pairing.hear(sender, value, kind, self, context):
            self._go_on(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        if self.pairing.lose(neighbor, self, context):
            self._go_on(context)

    @property
    def model(self) -> Tensor:
        return self.x

    @property
    def shown(self) -> Tensor:
        """See `Averaging`."""
        return self.x

    def average(self, heard: Tensor, told: Tensor) -> None:
        """See `Averaging`."""
        if self.method.compressor is None:  # told is x
            self.x = heard.add_(self.x).mul_(0.5)
        else:
            self.x = self.x + heard.sub_(told).mul_(0.5)

    def _go_on(self, context: NodeContext) -> None:
        """Nothing is waited for any more."""
        if self.waiting is not None:
            gradient, self.waiting = self.waiting, None
            self._use(gradient, context)

    def _iterate(self, context: NodeContext) -> None:
        context.ask_gradient(self.x)
        if self.active:
            self.pairing.ask(self, context)

    def _use(self, gradient: Tensor, context: NodeContext) -> None:
        lr = learning_rate(self.method.lr, self.updates)
        self.x = self.x - lr * self.momentum.descend(gradient)
        self.updates += 1
        self._iterate(context)
