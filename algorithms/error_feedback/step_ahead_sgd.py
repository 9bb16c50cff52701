"""SAEF: error feedback whose gradients are taken a step ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.two_way import average_at_server
from algorithms.checks import check
from algorithms.error_feedback.two_way_method import TwoWayMethod, TwoWayState
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import learning_rate


@dataclass
class StepAheadState(TwoWayState):
    """What SAEF carries on; `x` are the points y_i.

    Attributes:
        common: (k, d), the parameters x of all nodes, in equal rows.
        momentum: Of each node's gradients.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    common: Tensor
    momentum: Momentum


@dataclass(frozen=True)
class StepAheadSGD(TwoWayMethod[StepAheadState]):
    """SAEF, step-ahead error feedback: gradients at the point where the errors will have been applied.

    Xu, Huo, Huang, "Step-Ahead Error Feedback for Distributed Training with Compressed Gradient", AAAI 2021, arXiv
    2008.05823. The coefficient is that of step-ahead partial error feedback, SA-PEF, arXiv 2601.20738. For the options
    not named here see `TwoWayMethod`.

    With common parameters x, the errors e_i of the m nodes and s of the server, 0 at the start:

        y_i = x - coefficient e_i;   v_i <- momentum v_i + g_i(y_i)
        p_i = lr v_i + e_i;   c_i = C(p_i) goes up;   e_i <- p_i - c_i
        p = (1/m) sum_i c_i + s;   c = C_s(p) goes down;   s <- p - c;   x <- x - c

    With coefficient 0 this is error feedback in both directions, learning rate in the memory. With coefficient 1 and a
    single node, or where all errors are equal, x - e follows SGD whatever C is, if the server does not compress. So
    from time to time errors are averaged over the nodes, uncompressed: before iteration t = 0, 1, ... if
    `average_every` divides t + 1.

    Sent: a message up by each node and one down to each; where errors are averaged also a dense vector each way. What
    is evaluated and returned is x. Momentum is not averaged.

    Args:
        momentum: Momentum of each node's gradients, before compression, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        coefficient: How much of its error a node steps ahead by, in [0, 1].
        average_every: Iterations from one averaging of the errors to the next, >= 1; None for never.
    """

    momentum: float = 0.0
    nesterov: bool = False
    coefficient: float = 1.0
    average_every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self, self.momentum, self.nesterov)
        check(0 <= self.coefficient <= 1, self, "coefficient", "in [0, 1]")
        check(self.average_every is None or self.average_every >= 1, self, "average_every", ">= 1, or None")

    def start(self, x: Tensor, network: Network) -> StepAheadState:
        common, exchange = self.start_exchange(x, network)
        return StepAheadState(common.clone(), exchange, common, Momentum.start(x, self.momentum, self.nesterov))

    def step(self, state: StepAheadState, sample: Sample, network: Network) -> None:
        update = learning_rate(self.lr, state.step) * state.momentum.descend(sample.gradient)
        state.common = state.common - state.exchange.average(update, *self.operators, network)
        error = state.exchange.up
        if self.average_every is not None and (state.step + 2) % self.average_every == 0:
            error.lost = average_at_server(error.lost, network, self.server)
        state.x = add_scaled(state.common, -self.coefficient, error.lost)

    def model(self, state: StepAheadState) -> Tensor:
        return state.common
