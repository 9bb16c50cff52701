"""D2: decentralized training over decentralized data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class D2State(State):
    """The state of D2.

    Attributes:
        psi: (k, d), x - lr g of the iteration before; x itself at the start.
    """

    psi: Tensor


@dataclass(frozen=True)
class D2(Algorithm[D2State]):
    """D2: decentralized training over decentralized data.

    Tang, Lian, Yan, Zhang, Liu, "D2: Decentralized Training over Decentralized Data", ICML 2018, arXiv 1803.07068.

        x_i(1)   = sum_j w_ij (x_j(0) - lr_0 g_j(0))
        x_i(t+1) = sum_j w_ij (2 x_j(t) - x_j(t-1) - lr_t g_j(t) + lr_(t-1) g_j(t-1))

    It is exact diffusion with W in the place of (I + W) / 2, and so written: each node keeps psi_j = x_j - lr g_j of
    the iteration before. So the learning rate that each gradient came with stays with it.

    Sent: one dense vector to each out-neighbour, per round.

    W must be symmetric, the same in all rounds, with all eigenvalues above -1/3. On functions of curvature h the
    eigenvalue lambda is stable exactly if lambda > -1 / (3 - 2 lr h) and lr h < 2. So -1/3 itself, which rings of even
    length with weights 1/3 have, is at the edge: it is allowed, and curvature makes it stable, but the less the smaller
    the learning rate is, and gradient noise is amplified there. A larger weight of each node on itself avoids this, as
    (I + W) / 2 does: that is `ExactDiffusion`.

    Three nodes, where |x - c_i|^2 / 2 are least at different points, find the least point of the average:

        >>> network = MatrixNetwork([[0.7, 0.3, 0.0], [0.3, 0.4, 0.3], [0.0, 0.3, 0.7]])
        >>> algorithm, centres = D2(lr=0.5), torch.tensor([[0.0], [4.0], [5.0]])
        >>> state = algorithm.start(torch.zeros(3, 1), network)
        >>> for _ in range(200):
        ...     algorithm.advance(state, Sample(state.x - centres, torch.zeros(3)), network)
        >>> algorithm.model(state).round(decimals=3).tolist()
        [[3.0], [3.0], [3.0]]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "symmetric")
    least_eigenvalue: ClassVar[float] = -1 / 3

    lr: float | LearningRate = 0.1

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)

    def start(self, x: Tensor, network: Network) -> D2State:
        return D2State(x.clone(), x.clone())

    def step(self, state: D2State, sample: Sample, network: Network) -> None:
        psi = add_scaled(state.x, -learning_rate(self.lr, state.step), sample.gradient)
        phi = psi + state.x - state.psi
        state.psi = psi
        state.x = network.mix(phi)
