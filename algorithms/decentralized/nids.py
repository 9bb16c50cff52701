"""NIDS: a network-independent step size, with a regularizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.proximal import Proximal, check_prox
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class NidsState(State):
    """The state of NIDS.

    Attributes:
        correction: D, (k, d), whose average over the nodes is 0.
        z: (k, d), of which x is the proximal point; None without a regularizer, where x is z.
    """

    correction: Tensor
    z: Tensor | None = None


@dataclass(frozen=True)
class Nids(Algorithm[NidsState]):
    """NIDS: a network-independent step size, with a regularizer.

    Li, Shi, Yan, "A Decentralized Proximal-Gradient Method with Network Independent Step-Sizes and Separated
    Convergence Rates", IEEE TSP 67(17), 2019, arXiv 1704.07807, with the same step size at all nodes. With W~ = I -
    gamma/2 (I - W):

        z(1)   = x(0) - lr g(0)
        z(t+1) = z(t) - x(t) + W~ (2 x(t) - x(t-1) - lr (g(t) - g(t-1)))
        x(t)   = prox_{lr r}(z(t))

    (The paper's W~ = I - c alpha (I - W) has a free factor c; gamma / 2 = c alpha.) With the correction D added up over
    t,

        phi    = x - lr g - D + (x - z)      which is 2 x(t) - x(t-1) - lr (g(t) - g(t-1))
        D+     = D + gamma/2 (I - W) phi
        z+     = x - lr g - D+

    which is the form used here: D = 0 and z = x at the start, and D stays so in the first iteration, where nothing is
    sent. D holds products of gradients and learning rates, which may so vary; its average over the nodes is 0.

    Sent: one dense vector to each out-neighbour, per round, from the second iteration on.

    W must be symmetric and the same in all rounds. With full gradients it converges to the optimum for lr < 2/L,
    whatever W. With gamma = 1 and without r it is exact diffusion, except for its first step; with r it takes another
    path than proximal exact diffusion to the same limit.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Twice the weight of the averaging, in (0, 1].
        prox: A regularizer r to be minimised along with the losses.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "symmetric")

    lr: float | LearningRate = 0.1
    gamma: float = 1.0
    prox: Proximal | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 < self.gamma <= 1, self, "gamma", "in (0, 1]")
        check_prox(self, self.prox)

    def start(self, x: Tensor, network: Network) -> NidsState:
        return NidsState(x.clone(), torch.zeros_like(x), None if self.prox is None else x.clone())

    def step(self, state: NidsState, sample: Sample, network: Network) -> None:
        lr = learning_rate(self.lr, state.step)
        psi = add_scaled(state.x, -lr, sample.gradient)
        if state.step > 0:
            phi = psi - state.correction
            if state.z is not None:
                phi = phi + (state.x - state.z)
            state.correction = add_scaled(state.correction, self.gamma / 2, phi - network.mix(phi))
        z = psi - state.correction
        if self.prox is None:
            state.x = z
        else:
            state.x, state.z = self.prox.prox(z, lr), z
