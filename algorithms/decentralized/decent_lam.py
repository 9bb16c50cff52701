"""DecentLaM: decentralized momentum SGD without the bias that momentum adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import check_momentum
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class DecentLaMState(State):
    """The state of DecentLaM.

    Attributes:
        velocity: (k, d), what x moved by in the iteration before.
    """

    past: ClassVar[tuple[str, ...]] = ("velocity",)

    velocity: Tensor


@dataclass(frozen=True)
class DecentLaM(Algorithm[DecentLaMState]):
    """DecentLaM: decentralized momentum SGD without the bias that momentum adds.

    Yuan, Chen, Huang, Zhang, Pan, Xu, Yin, "DecentLaM: Decentralized Momentum SGD for Large-batch Deep Training", ICCV
    2021, arXiv 2104.11981. With u = lr v:

        z_j  = x_j - lr g_j                             sent
        g~_i = (x_i - sum_j w_ij z_j) / lr
        v_i  <- momentum v_i + g~_i                     u_i  <- momentum u_i + x_i - sum_j w_ij z_j
        x_i+ = x_i - lr v_i                             x_i+ = x_i - u_i

    Since u is what x moved by in the iteration before, that is the heavy ball

        x_i(t+1) = sum_j w_ij (x_j(t) - lr g_j(t)) + momentum (x_i(t) - x_i(t-1)),    x(-1) = x(0)

    which is the form used here. Where the learning rate varies, it keeps the velocity: v is rescaled by the ratio of
    the learning rates. (torch.optim.SGD keeps v, so that the velocity changes along with the learning rate; with a
    constant one and a single node they are the same.)

    Sent: one dense vector to each out-neighbour, per round. It rests where decentralized SGD without momentum does, in
    the adapt-then-combine order, and there is as far from the optimum, while with local momentum
    (`DecentralizedSGD(momentum=...)`) that distance grows like 1 / (1 - momentum).

    W must be symmetric, and may vary: only then is (x - W z) / lr like the gradient of a function. On directed graphs
    the recursion is unstable for momentum near 1, such as 0.9 on the exponential graph of 16 nodes.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: In [0, 1).
    """

    needs: ClassVar[tuple[str, ...]] = ("symmetric",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum)

    def start(self, x: Tensor, network: Network) -> DecentLaMState:
        return DecentLaMState(x.clone(), torch.zeros_like(x))

    def step(self, state: DecentLaMState, sample: Sample, network: Network) -> None:
        z = add_scaled(state.x, -learning_rate(self.lr, state.step), sample.gradient)
        x = network.mix(z, plus=(self.momentum, state.velocity))
        state.velocity = x - state.x
        state.x = x
