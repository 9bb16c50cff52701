"""ZenoPS: local SGD with error reset, whose server accepts updates that go the way of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.server import collect, distribute, server_rows
from algorithms.checks import check
from algorithms.compressors import Compressor, RandomBlock
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.numerics.tree_sum import tree_sum
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class ZenoPSState(State):
    """What ZenoPS carries on; `x` are the local models.

    Attributes:
        common: (k, d), the parameters that all nodes had after the last exchange, in equal rows.
        begun: (k, d), where each node's local steps began.
        momentum: Of each node's gradients.
        remembered: What the operator remembers of the updates; None if it does not.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    common: Tensor
    begun: Tensor
    momentum: Momentum
    remembered: Block | None


@dataclass(frozen=True)
class ZenoPS(Algorithm[ZenoPSState]):
    """ZenoPS, the synchronous one: local SGD with compression and error reset, and updates validated by their score.

    Xie, Koyejo, Gupta, "ZenoPS: A Distributed Learning System Integrating Communication Efficiency and Security",
    Algorithms 15(7):233, 2022, with the authors' released code.

    The last node is the validator, which trains like all others on data of its own. With the common parameters w:

        every iteration    x_i <- x_i - lr (gradient, or Nesterov's direction, which stays local)
        every tau-th       D_i = x_i - c_i, the way since the exchange before;   u_i = C(D_i) goes up, but v = D whole
                           u_i is accepted where <u_i, v> > threshold |v|^2 and |u_i|^2 < (1 + excess) |v|^2
                           w <- w + the mean of those accepted, or 0 if there are none, which goes down
                           x_i <- w + (D_i - u_i),   of the validator x <- w;   c_i <- x_i

    What is not sent is not withheld but stays in the local model for the next period, and is reset after it: D_i does
    not hold it again. With C = Identity() and everything accepted this is local SGD over the nodes but the validator.

    The authors' code scores tensor by tensor, and what it leaves out at random is whole tensors and nodes; here the
    score is that of the whole update, all nodes take part, and C is any contraction. v counts in no average.

    Sent: every tau-th iteration a message up by each node but the validator, and a dense vector down to each; at the
    start the parameters along the tree of `network.mean`, as all start from their mean. What is evaluated and returned
    is w. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations from one exchange to the next, tau >= 1.
        compressor: The compression operator C, a contraction.
        momentum: Nesterov's momentum, in [0, 1).
        threshold: Of the score; negative ones also accept what goes a little the other way.
        excess: How much longer than v an update may be, in squares, > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int = 8
    compressor: Compressor = field(default_factory=lambda: RandomBlock(ratio=2))
    momentum: float = 0.0
    threshold: float = -1e-3
    excess: float = 0.6

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.period >= 1, self, "period", ">= 1")
        check_momentum(self, self.momentum)
        check(math.isfinite(self.threshold), self, "threshold", "finite")
        check(0 < self.excess < math.inf, self, "excess", "> 0")

    @property
    def trusted(self) -> int:
        return 1

    def start(self, x: Tensor, network: Network) -> ZenoPSState:
        if network.n < 2:
            raise ValueError("ZenoPS needs at least 2 nodes: the last one only validates what others send")
        check_contraction(self, self.compressor, x.shape[1])
        common = network.mean(x).repeat(len(x), 1)
        momentum = Momentum.start(x, self.momentum, nesterov=True)
        return ZenoPSState(common.clone(), common, common.clone(), momentum, self.compressor.start_like(x))

    def step(self, state: ZenoPSState, sample: Sample, network: Network) -> None:
        direction = state.momentum.descend(sample.gradient)
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), direction)
        if (state.step + 1) % self.period == 0:
            self._exchange(state, network)

    def model(self, state: ZenoPSState) -> Tensor:
        return state.common

    def _exchange(self, state: ZenoPSState, network: Network) -> None:
        others, validator = range(network.n - 1), server_rows(network)
        sends = torch.ones(len(state.x), dtype=torch.bool)
        sends[validator] = False
        update = state.x - state.begun
        message = self.compressor.compress(update, network.draw("updates"), state.remembered, sent=sends)
        heard, mean = collect(message, others, network), torch.zeros_like(update)
        accepted = {node: row for node, row in heard.items() if self._accepts(row, update[-1])}
        if accepted:
            mean[-1] = tree_sum(accepted, len(others)) / len(accepted)
        state.common = state.common + distribute(mean, others, network, others=mean)
        lost = update - message.dense()
        lost[validator] = 0
        state.x = state.common + lost
        state.begun = state.x.clone()

    def _accepts(self, update: Tensor, own: Tensor) -> bool:
        """Whether an update (d,) goes the way of the validator's own one."""
        update, own = update.double(), own.double()
        square = float((own * own).sum())
        along, length = float((update * own).sum()), float((update * update).sum())
        return along > self.threshold * square and length < (1 + self.excess) * square
