"""DoubleSqueeze: error feedback on the way to a server and on the way back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.error_feedback.two_way_method import TwoWayMethod, TwoWayState
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import learning_rate


@dataclass(frozen=True)
class DoubleSqueeze(TwoWayMethod[TwoWayState]):
    """DoubleSqueeze: parallel SGD with error-compensated compression in both directions, learning rate outside.

    Tang, Lian, Yu, Zhang, Liu, "DoubleSqueeze: Parallel Stochastic Gradient Descent with Double-pass Error-Compensated
    Compression", ICML 2019, arXiv 1905.05957. For the options see `TwoWayMethod`.

    With the errors e_i of the m nodes and s of the server, 0 at the start:

        p_i = g_i(x) + e_i;   c_i = C(p_i) goes up;   e_i <- p_i - c_i
        p = (1/m) sum_i c_i + s;   c = C_s(p) goes down;   s <- p - c;   x <- x - lr c

    For a constant learning rate x - lr (s + (1/m) sum_i e_i) moves as SGD would with these gradients. `DistEFSGD` has
    errors that follow a learning rate that varies.

    Sent: a message up by each node and one down to each.
    """

    def start(self, x: Tensor, network: Network) -> TwoWayState:
        return TwoWayState(*self.start_exchange(x, network))

    def step(self, state: TwoWayState, sample: Sample, network: Network) -> None:
        average = state.exchange.average(sample.gradient, *self.operators, network)
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), average)
