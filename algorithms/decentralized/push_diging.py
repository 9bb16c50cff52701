"""Push-DIGing: gradient tracking with push-sum, exact on directed and time-varying graphs with a constant step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.push_sum import PushSum
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class PushDigingState(State):
    """The state of Push-DIGing.

    Attributes:
        push_sum: Numerators and weights, whose ratio is x.
        mixed_tracker: (k, d), sum_j c_ij y_j of the iteration before.
        gradient: (k, d), the gradient that was added to y last; 0 at the start.
    """

    push_sum: PushSum
    mixed_tracker: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class PushDiging(Algorithm[PushDigingState]):
    """Push-DIGing: gradient tracking with push-sum, exact on directed and time-varying graphs with a constant step.

    Nedic, Olshevsky, Shi, "Achieving geometric convergence for distributed optimization over time-varying graphs", SIAM
    Journal on Optimization 27(4), 2017, arXiv 1607.03218 (Algorithm 2).

    With C_t the mixing matrix of round t, whose columns sum to 1, n_i the numerator (the paper's u_i), w_i the weight
    (its v_i, at first 1), x_i the model and y_i the tracked gradient of node i, y_i = g_i(x_i) at the start:

        n_i+ = sum_j c_ij (n_j - lr y_j)        w_i+ = sum_j c_ij w_j        x_i+ = n_i+ / w_i+
        y_i+ = sum_j c_ij y_j + g_i(x_i+) - g_i(x_i)

    The sum of the y_i is that of the gradients at all times; subtracted is the gradient that was added, so that this
    holds for stochastic gradients too. With full gradients of strongly convex objectives and a small constant learning
    rate all nodes converge linearly to the optimum. On doubly stochastic matrices it is gradient tracking,
    adapt-then-combine in x (the y_i are combined before they are adapted).

    Sent: two dense vectors and one number to each out-neighbour, per round, in three messages.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
    """

    needs: ClassVar[tuple[str, ...]] = ("column_stochastic",)

    lr: float | LearningRate = 0.1

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)

    def start(self, x: Tensor, network: Network) -> PushDigingState:
        return PushDigingState(x.clone(), PushSum.start(x), torch.zeros_like(x), torch.zeros_like(x))

    def step(self, state: PushDigingState, sample: Sample, network: Network) -> None:
        y = state.mixed_tracker + (sample.gradient - state.gradient)
        state.gradient = sample.gradient
        n, lr = state.push_sum.numerator, learning_rate(self.lr, state.step)
        adapted = add_scaled(n, -lr, y, out=network.empty(n.shape[1], n.dtype, n.device))
        state.x = state.push_sum.push(adapted, network)
        state.mixed_tracker = network.mix(y)
