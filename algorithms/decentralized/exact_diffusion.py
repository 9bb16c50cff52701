"""Exact diffusion: diffusion without the bias that heterogeneous data causes; with a regularizer as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.proximal import Proximal, check_prox
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class ExactDiffusionState(State):
    """The state of exact diffusion.

    Attributes:
        psi: (k, d), x - lr g of the iteration before; x itself at the start.
        z: (k, d), what the nodes combined last, of which x is the proximal point; None without a regularizer, where x
            is what they combined.
    """

    psi: Tensor
    z: Tensor | None = None


@dataclass(frozen=True)
class ExactDiffusion(Algorithm[ExactDiffusionState]):
    """Exact diffusion: diffusion without the bias that heterogeneous data causes; with a regularizer as well.

    Yuan, Ying, Zhao, Sayed, "Exact Diffusion for Distributed Optimization and Learning", IEEE TSP 67(3), 2019, arXiv
    1702.05122 and 1702.05142; with stochastic gradients Yuan, Alghunaim, Ying, Sayed, arXiv 1903.10956.

    With W' = (I + W) / 2 and psi_i = x_i at the start:

        adapt     psi_i+ = x_i - lr g_i(x_i)
        correct   phi_i  = psi_i+ + x_i - psi_i
        combine   x_i+   = sum_j w'_ij phi_j

    With a regularizer r it is the proximal exact diffusion of Alghunaim, Ryu, Yuan, Sayed, "Decentralized Proximal
    Gradient Algorithms with Linear Convergence Rates", IEEE TAC 66(6), 2021, arXiv 1909.06479 (PUDA, there with W'),
    where z takes the place of x in the combination, z_i = x_i at the start:

        correct   phi_i  = psi_i+ + z_i - psi_i
        combine   z_i+   = sum_j w'_ij phi_j
        prox      x_i+   = prox_{lr r}(z_i+)

    Sent: one dense vector to each out-neighbour, per round. W must be symmetric and the same in all rounds: on directed
    graphs the recursion can be unstable. With full gradients and lr < 2/L it converges to the optimum. Since psi
    carries its own step, a learning rate that varies stays exact (the D2 form, arXiv 1803.07068, with W'): the average
    of z+ is that of x - lr g(x) in each iteration, whatever the learning rates before.

    Three nodes, where |x - c_i|^2 / 2 are least at different points, find the least point of the average:

        >>> network = MatrixNetwork([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
        >>> algorithm, centres = ExactDiffusion(lr=0.5), torch.tensor([[0.0], [4.0], [5.0]])
        >>> state = algorithm.start(torch.zeros(3, 1), network)
        >>> for _ in range(200):
        ...     algorithm.advance(state, Sample(state.x - centres, torch.zeros(3)), network)
        >>> algorithm.model(state).round(decimals=3).tolist()
        [[3.0], [3.0], [3.0]]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        prox: A regularizer r to be minimised along with the losses.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "symmetric")

    lr: float | LearningRate = 0.1
    prox: Proximal | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_prox(self, self.prox)

    def start(self, x: Tensor, network: Network) -> ExactDiffusionState:
        return ExactDiffusionState(x.clone(), x.clone(), None if self.prox is None else x.clone())

    def step(self, state: ExactDiffusionState, sample: Sample, network: Network) -> None:
        lr = learning_rate(self.lr, state.step)
        psi = add_scaled(state.x, -lr, sample.gradient)
        phi = psi + (state.x if state.z is None else state.z) - state.psi
        state.psi = psi
        combined = (phi + network.mix(phi)) / 2
        if self.prox is None:
            state.x = combined
        else:
            state.x, state.z = self.prox.prox(combined, lr), combined
