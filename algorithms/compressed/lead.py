"""LEAD: a primal-dual method with compressed communication that converges linearly to the exact optimum.

Liu, Li, Wang, Tang, Yan, "Linear Convergent Decentralized Optimization with Compression", ICLR 2021, arXiv 2007.00232.

With the dual D, the public copies H and H_w = W H, all 0 at the start, and an unbiased operator Q:

    X_1 = X_0 - lr G(X_0), then
    Y   = X - lr G(X) - lr D
    q   = Q(Y - H)                                    is sent
    Y'  = H + q;    Y'_w = H_w + W q;    H <- H + alpha q;    H_w <- H_w + alpha W q
    D  <- D + gamma / (2 lr) (Y' - Y'_w)
    X  <- Y - gamma / 2 (Y' - Y'_w)                   = X - lr G - lr D

Sent: one compressed vector to each out-neighbour, per round; nothing in the first step. No node keeps copies of its
neighbours: it keeps H_w by mixing q.

W must be symmetric and the same in all rounds. Without compression this is NIDS, or exact diffusion whose first step
is not mixed, on I - gamma / 2 (I - W), which must have no eigenvalue below 0: gamma <= 2 / (1 - least eigenvalue of
W), which gamma = 1 always is. For E|Q(z) - z|^2 <= omega |z|^2 the theory asks for gamma < 2 / ((3 omega + 1)(1 -
least eigenvalue)) and alpha <= 1 / (1 + omega); gamma = 1 and alpha = 1/2 are the authors' for all their runs with 2
bits in blocks of 512. lr < 2 / L for curvatures up to L.

D tends to minus the local gradients at the optimum, whatever the learning rate is. So a rate that decays does not
disturb a run that has converged, unlike a dual that holds lr D (see `Cedas`): the same for a constant rate, another
method for one that varies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.replica import exchange
from algorithms.checks import check, positive
from algorithms.compressors import Compressor, InfinityNorm
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate, vanishes
from algorithms.state import LooseState, State


@dataclass(frozen=True)
class Lead(Algorithm):
    """LEAD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Step size of the dual, > 0 and at most 2 / (1 - least eigenvalue of W).
        alpha: Step size of the public copies, in (0, 1].
        compressor: The compression operator Q, unbiased.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "symmetric")

    lr: float | LearningRate = 0.1
    gamma: float = 1.0
    alpha: float = 0.5
    compressor: Compressor = field(default_factory=lambda: InfinityNorm(bits=2, bucket=512))

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(positive(self.gamma), self, "gamma", "> 0")
        check(0 < self.alpha <= 1, self, "alpha", "in (0, 1]")

    @property
    def least_eigenvalue(self) -> float:  # type: ignore[override]
        """I - gamma / 2 (I - W) must have no eigenvalue below 0."""
        return max(-1.0, 1 - 2 / self.gamma)

    def start(self, x: Tensor, network: Network) -> State:
        check_unbiased(self, self.compressor, x.shape[1])
        dual, public, mixed_public = (torch.zeros_like(x) for _ in range(3))
        return LooseState(x=x.clone(), dual=dual, public=public, mixed_public=mixed_public, step=0)

    def step(self, state: State, sample: Sample, network: Network) -> None:
        state.x = self.descend(state, sample.gradient, learning_rate(self.lr, state.step), network)

    def descend(self, state: State, gradient: Tensor, lr: float, network: Network) -> Tensor:
        """X - lr G - lr D, with the new D, (k, d)."""
        adapted = add_scaled(state.x, -lr, gradient)
        if state.step == 0:
            return adapted
        y = add_scaled(adapted, -self.dual_factor(lr), state.dual, out=adapted)
        q, mixed_q = exchange(y - state.public, self.compressor, network)
        pull = self.gamma / 2 * ((state.public + q) - (state.mixed_public + mixed_q))
        add_scaled(state.public, self.alpha, q, out=state.public)
        add_scaled(state.mixed_public, self.alpha, mixed_q, out=state.mixed_public)
        if not vanishes(self.dual_factor(lr), pull.dtype):  # a schedule may end at 0, where only the averaging goes on
            add_scaled(state.dual, 1 / self.dual_factor(lr), pull, out=state.dual)
        return y - pull

    def dual_factor(self, lr: float) -> float:
        """What the stored dual is multiplied by where it enters the models."""
        return lr
