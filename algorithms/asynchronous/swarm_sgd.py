"""SwarmSGD: local steps, and now and then an averaging of two nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.asynchronous.pairing import Pairing
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate


@dataclass(frozen=True)
class SwarmSGD(Asynchronous):
    """SwarmSGD: local steps, and now and then an averaging of two nodes.

    Nadiradze, Sabour, Davies, Li, Alistarh, "Asynchronous Decentralized SGD with Quantized and Local Updates", NeurIPS
    2021, arXiv 1910.12308. A node i takes H local steps x_i <- x_i - lr v_i, with its gradient or local momentum v_i,
    and then averages with a neighbour j drawn at random. With s_i its model at the start of these steps, and u_i what
    they have changed, so that x_i = s_i + u_i:

        blocking        x_i, x_j <- (x_i + x_j) / 2                                       both at the end of their steps
        non-blocking    x_i <- (s_i + s_j) / 2 + u_i,   x_j <- (s_i + s_j) / 2 + u_j      j wherever it is

    after which the steps of i start anew from x_i; those of j, if it is among them, go on, from (s_i + s_j) / 2. As
    s_j is there when i asks for it, nobody waits: i begins its next steps at once, and what the averaging changes is
    added to s_i and x_i when it is known, as half of the difference of what it has heard and what it has told. Both
    variants keep the sum of the models, with what is under way.

    The blocking variant needs two nodes that have ended their steps. One that has asked waits; one that is asked
    answers when it ends its own, and then asks nobody itself. Two that wait for each other, and circles, are prevented
    as in `AdPsgd(active="all")`: a node that waits lets smaller numbers wait and refuses the others, which then do
    without. Whoever asks a node that gets no more gradients waits for ever.

    Sent: one dense vector to j and one back, per H steps of a node, or C(x) or C(s) with a compressor C; eight bytes or
    less for a refusal. The paper's quantizer is one whose error depends on the distance of the two models; with those
    that there are, the error of C does not vanish where all models agree, so C must be fine.

        >>> import torch
        >>> from topologies import ring
        >>> [program.left for program in SwarmSGD(local_steps=3).programs(ring(3), range(3), torch.zeros(3, 1))]
        [3, 3, 3]

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        local_steps: H, >= 1; its mean with `geometric`.
        blocking: Whether both nodes are to be at the end of their local steps.
        geometric: Whether each number of local steps is drawn, from the geometric distribution (as in the paper's
            analysis), in the place of the same one each time.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        compressor: What travels in the place of the models.
    """

    needs = ("symmetric",)

    lr: float | LearningRate = 0.1
    local_steps: int = 2
    blocking: bool = False
    geometric: bool = False
    momentum: float = 0.0
    nesterov: bool = False
    compressor: Compressor | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.local_steps >= 1, self, "local_steps", ">= 1")
        check(not self.geometric or self.local_steps > 1, self, "geometric", "false where local_steps is 1")
        check_momentum(self, self.momentum, self.nesterov)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        return [
            SwarmNode(
                self,
                row.clone(),
                row.clone(),
                Momentum.start(row, self.momentum, self.nesterov),
                Pairing(self.compressor, atomic=self.blocking),
                self.local_steps,
            )
            for row in x.split(1)
        ]


@dataclass(eq=False)
class SwarmNode(NodeProgram):
    """One node of `SwarmSGD`.

    Attributes:
        x: (1, d), its model.
        start: (1, d), s, where its local steps have begun, if not blocking.
        pairing: Its averagings that are under way.
        left: The local steps that are left until the next one.
        updates: The gradients that it has used.
    """

    method: SwarmSGD
    x: Tensor
    start: Tensor
    momentum: Momentum
    pairing: Pairing
    left: int
    updates: int = 0

    def on_start(self, context: NodeContext) -> None:
        self._begin(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        lr = learning_rate(self.method.lr, self.updates)
        self.x = self.x - lr * self.momentum.descend(sample.gradient)
        self.updates += 1
        self.left -= 1
        if self.left > 0:
            context.ask_gradient(self.x)
        elif not self.method.blocking:
            if not self.pairing.waits:
                self.pairing.ask(self, context)
                self.start = self.x
            self._begin(context)
        elif self.pairing.release(self, context) or not self.pairing.ask(self, context):
            self._begin(context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        over = self.pairing.hear(sender, value, kind, self, context, busy=self.method.blocking)
        if over and self.method.blocking:
            self._begin(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        if self.pairing.lose(neighbor, self, context) and self.method.blocking:
            self._begin(context)

    @property
    def model(self) -> Tensor:
        return self.x

    @property
    def shown(self) -> Tensor:
        """See `Averaging`."""
        return self.x if self.method.blocking else self.start

    def average(self, heard: Tensor, told: Tensor) -> None:
        """See `Averaging`."""
        change = heard.sub_(told).mul_(0.5)
        self.x = self.x + change
        self.start = self.start + change

    def _begin(self, context: NodeContext) -> None:
        """Begin the next local steps."""
        self.left = self.method.local_steps
        if self.method.geometric:
            self.left = int(context.draw("local steps").generator(0).geometric(1 / self.method.local_steps))
        context.ask_gradient(self.x)
