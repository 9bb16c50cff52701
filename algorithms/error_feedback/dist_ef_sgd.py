"""dist-EF-SGD: two-way error feedback with momentum, whose errors follow the learning rate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.compressors import Compressor, PerTensor, ScaledSign
from algorithms.error_feedback.two_way_method import TwoWayMethod, TwoWayState
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import learning_rate, vanishes


@dataclass
class DistEFState(TwoWayState):
    """What dist-EF-SGD carries on; all rows of `x` are equal.

    Attributes:
        momentum: Of each node's gradients.
        lr: The learning rate that the errors were made with; 0 before there are any.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: Momentum
    lr: float = 0.0


@dataclass(frozen=True)
class DistEFSGD(TwoWayMethod[DistEFState]):
    """dist-EF-SGD, dist-EF-blockSGD and their forms with momentum: two-way error feedback for varying learning rates.

    Zheng, Huang, Kwok, "Communication-Efficient Distributed Blockwise Momentum SGD with Error-Feedback", NeurIPS 2019,
    arXiv 1905.10936. For the options not named here see `TwoWayMethod`.

    With the errors e_i of the m nodes and s of the server, and v_i, all 0 at the start, and lr' the learning rate of
    the iteration before:

        v_i <- momentum v_i + g_i(x)
        p_i = g_i(x) + momentum v_i + (lr'/lr) e_i;   c_i = C(p_i) goes up;   e_i <- p_i - c_i
        p = (1/m) sum_i c_i + (lr'/lr) s;   c = C_s(p) goes down;   s <- p - c;   x <- x - lr c

    So x - lr (s + (1/m) sum_i e_i) moves as SGD with Nesterov's momentum would with these gradients, also where the
    learning rate varies. Where lr is 0, or too small to divide by, nothing is sent for it: errors stay as they are.

    Sent: a message up by each node and one down to each. By default each tensor of a model is a block with a scale of
    its own, as in the paper.

    Args:
        momentum: Nesterov's momentum, before compression, in [0, 1).
    """

    compressor: Compressor = field(default_factory=lambda: PerTensor(ScaledSign()))
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self, self.momentum)

    def start(self, x: Tensor, network: Network) -> DistEFState:
        momentum = Momentum.start(x, self.momentum, nesterov=True)
        return DistEFState(*self.start_exchange(x, network), momentum)

    def step(self, state: DistEFState, sample: Sample, network: Network) -> None:
        lr, direction = learning_rate(self.lr, state.step), state.momentum.descend(sample.gradient)
        if vanishes(lr, state.x.dtype):
            return
        state.exchange.rescale(state.lr / lr)
        state.x = add_scaled(state.x, -lr, state.exchange.average(direction, *self.operators, network))
        state.lr = lr
