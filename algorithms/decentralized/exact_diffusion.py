"""Exact diffusion: diffusion without the bias that heterogeneous data causes.

Yuan, Ying, Zhao, Sayed, "Exact Diffusion for Distributed Optimization and Learning", IEEE TSP 67(3), 2019,
arXiv 1702.05122 and 1702.05142; with stochastic gradients Yuan, Alghunaim, Ying, Sayed, arXiv 1903.10956.

With W' = (I + W) / 2 and psi_i = x_i at the start:

    adapt     psi_i+ = x_i - lr g_i(x_i)
    correct   phi_i  = psi_i+ + x_i - psi_i
    combine   x_i+   = sum_j w'_ij phi_j

Sent: one dense vector to each out-neighbour, per round. W must be symmetric and the same in all rounds: on
directed graphs the recursion can be unstable. With full gradients and lr < 2/L it converges to the optimum.
Since psi carries its own step, a learning rate that varies stays exact (the D2 form, arXiv 1803.07068, with W').
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, State
from algorithms.arithmetic import add_scaled
from algorithms.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.network import Network


@dataclass(frozen=True)
class ExactDiffusion(Algorithm):
    """Exact diffusion.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "symmetric")

    lr: float | LearningRate = 0.1

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)

    def start(self, x: Tensor, network: Network) -> State:
        return State(x=x.clone(), psi=x.clone(), step=0)

    def step(self, state: State, sample: Sample, network: Network) -> None:
        psi = add_scaled(state.x, -learning_rate(self.lr, state.step), sample.gradient)
        phi = psi + state.x - state.psi
        state.x = (phi + network.mix(phi)) / 2
        state.psi = psi
        state.step += 1
