"""Local SGD with error-compensated compression in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.two_way import average_at_server
from algorithms.checks import check
from algorithms.error_feedback.two_way_method import TwoWayMethod, TwoWayState
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import learning_rate

KEPT = ("local", "reset", "average")


@dataclass
class DoubleCompressionState(TwoWayState):
    """What local SGD with double compression carries on; `x` are the local parameters.

    Attributes:
        common: (k, d), the parameters that all nodes had after the last exchange, in equal rows.
        momentum: Of each node's gradients.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    common: Tensor
    momentum: Momentum


@dataclass(frozen=True)
class DoubleCompressionSGD(TwoWayMethod[DoubleCompressionState]):
    """Local SGD with error-compensated double compression, and with momentum.

    Gao, Xu, Huang, "On the Convergence of Communication-Efficient Local SGD for Federated Learning", AAAI 2021.
    Its text was not at hand: these are the equations that its abstract and DoubleSqueeze leave, and what becomes of the
    momentum is an option. For the options not named here see `TwoWayMethod`.

    With common parameters x, the errors e_i of the m nodes and s of the server, 0 at the start:

        every iteration    v_i <- momentum v_i + g_i(x_i);   x_i <- x_i - lr v_i
        every tau-th       p_i = x - x_i + e_i;   c_i = C(p_i) goes up;   e_i <- p_i - c_i
                           p = (1/m) sum_i c_i + s;   c = C_s(p) goes down;   s <- p - c
                           x <- x - c;   x_i <- x

    The mean of x_i, less s and the mean of e_i, moves as the mean of local SGD would with these gradients.

    Sent: every tau-th iteration a message up by each node and one down to each. What is evaluated and returned is each
    node's x_i. With an exact answer of the server this is `QsparseLocalSGD`.

    Args:
        period: Iterations from one exchange to the next, tau >= 1.
        momentum: Momentum of each node's gradients, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        momentum_at_exchange: Whether v_i stays "local", starts anew ("reset"), or is replaced by the "average" of all,
            which is sent uncompressed, up and down.
    """

    period: int = 8
    momentum: float = 0.0
    nesterov: bool = False
    momentum_at_exchange: Literal["local", "reset", "average"] = "local"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.period >= 1, self, "period", ">= 1")
        check_momentum(self, self.momentum, self.nesterov)
        kept = self.momentum_at_exchange
        check(kept in KEPT, self, "momentum_at_exchange", '"local", "reset" or "average"')
        check(kept == "local" or self.momentum > 0, self, "momentum_at_exchange", '"local" where momentum is 0')

    def start(self, x: Tensor, network: Network) -> DoubleCompressionState:
        common, exchange = self.start_exchange(x, network)
        return DoubleCompressionState(common.clone(), exchange, common, self._no_momentum(x))

    def step(self, state: DoubleCompressionState, sample: Sample, network: Network) -> None:
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), state.momentum.descend(sample.gradient))
        if (state.step + 1) % self.period == 0:
            state.common = state.common - state.exchange.average(state.common - state.x, *self.operators, network)
            state.x = state.common.clone()
            self._exchange_momentum(state, network)

    def _exchange_momentum(self, state: DoubleCompressionState, network: Network) -> None:
        if self.momentum_at_exchange == "reset":
            state.momentum = self._no_momentum(state.x)
        elif self.momentum_at_exchange == "average" and state.momentum.buffer is not None:
            state.momentum.buffer = average_at_server(state.momentum.buffer, network, self.server)

    def _no_momentum(self, x: Tensor) -> Momentum:
        return Momentum.start(x, self.momentum, self.nesterov)
