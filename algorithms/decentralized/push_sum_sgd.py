"""Push-sum SGD (stochastic gradient push, SGP): decentralized SGD on directed and time-varying graphs.

Assran, Loizou, Ballas, Rabbat, "Stochastic Gradient Push for Distributed Deep Learning", ICML 2019, arXiv 1811.10792;
first as subgradient-push in Nedic & Olshevsky, "Distributed optimization over time-varying directed graphs", IEEE TAC
60(3), 2015, arXiv 1303.2289.

With P_t the mixing matrix of round t, whose columns sum to 1, n_i the numerator (the paper's x_i) and w_i the weight
of node i (at first 1), z_i the model, and v_i the descent direction at z_i (the gradient, or the local momentum):

    n_i <- sum_j p_ij (n_j - lr v_j(z_j))        w_i <- sum_j p_ij w_j        z_i = n_i / w_i

Sent: one dense vector and one number to each out-neighbour, per round, in two messages; in any case, although the
weights stay 1 where the rows of P sum to 1 as well. There this is decentralized SGD, adapt-then-combine.

The sum of the numerators moves by -lr times the sum of the directions, and that of the weights stays n, whatever the
graphs: the limit has the bias of decentralized SGD, of the order of lr, but no node counts more than another.

Momentum is local and never communicated: v_i <- momentum v_i + g_i, applied as in torch.optim.SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, State, check_momentum, descent_direction, start_momentum
from algorithms.arithmetic import add_scaled
from algorithms.decentralized.push_sum_averaging import push_sum, start_push_sum
from algorithms.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.network import Network


@dataclass(frozen=True)
class PushSumSGD(Algorithm):
    """Push-sum SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("column_stochastic",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> State:
        state = start_push_sum(x)
        start_momentum(state, self.momentum)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        v = descent_direction(state, sample.gradient, self.momentum, self.nesterov)
        n, lr = state.numerator, learning_rate(self.lr, state.step)
        push_sum(state, add_scaled(n, -lr, v, out=network.empty(n.shape[1], n.dtype, n.device)), network)
        state.step += 1
