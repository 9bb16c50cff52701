"""LEAD: a primal-dual method with compressed communication that converges linearly to the exact optimum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.replica import Replica
from algorithms.checks import check, positive
from algorithms.compressors import Compressor, InfinityNorm
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate, vanishes
from algorithms.state import State


@dataclass
class LeadState(State):
    """What LEAD carries on.

    Attributes:
        dual: (k, d), D.
        replica: The public copies H, with H_w = W H.
    """

    dual: Tensor
    replica: Replica


@dataclass(frozen=True)
class Lead(Algorithm[LeadState]):
    """LEAD: a primal-dual method with compressed communication that converges linearly to the exact optimum.

    Liu, Li, Wang, Tang, Yan, "Linear Convergent Decentralized Optimization with Compression", ICLR 2021, arXiv
    2007.00232.

    With the dual D, the public copies H and H_w = W H, all 0 at the start, and an unbiased operator Q:

        X_1 = X_0 - lr G(X_0), then
        Y   = X - lr G(X) - lr D
        q   = Q(Y - H)                                    is sent
        Y'  = H + q;    Y'_w = H_w + W q;    H <- H + alpha q;    H_w <- H_w + alpha W q
        D  <- D + gamma / (2 lr) (Y' - Y'_w)
        X  <- Y - gamma / 2 (Y' - Y'_w)                   = X - lr G - lr D

    Sent: one compressed vector to each out-neighbour, per round; nothing in the first step. No node keeps copies of its
    neighbours: it keeps H_w by mixing q.

    W must be symmetric and the same in all rounds. Without compression this is NIDS, or exact diffusion whose first
    step is not mixed, on I - gamma / 2 (I - W), which must have no eigenvalue below 0: gamma <= 2 / (1 - least
    eigenvalue of W), which gamma = 1 always is. For E|Q(z) - z|^2 <= omega |z|^2 the theory asks for gamma < 2 / ((3
    omega + 1)(1 - least eigenvalue)) and alpha <= 1 / (1 + omega); gamma = 1 and alpha = 1/2 are the authors' for all
    their runs with 2 bits in blocks of 512. lr < 2 / L for curvatures up to L.

    D tends to minus the local gradients at the optimum, whatever the learning rate is. So a rate that decays does not
    disturb a run that has converged, unlike a dual that holds lr D (see `Cedas`): the same for a constant rate, another
    method for one that varies.

        >>> import torch
        >>> from algorithms import InfinityNorm, Lead, MatrixNetwork, Sample
        >>> algorithm = Lead(lr=0.2, compressor=InfinityNorm(bits=2))
        >>> network = MatrixNetwork([[0.5, 0.5], [0.5, 0.5]])
        >>> optima = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
        >>> state = algorithm.start(torch.zeros(2, 2), network)
        >>> for _ in range(200):
        ...     algorithm.advance(state, Sample(gradient=state.x - optima, loss=torch.zeros(2)), network)
        >>> algorithm.model(state).round(decimals=3).tolist()
        [[1.0, 2.0], [1.0, 2.0]]

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

    def start(self, x: Tensor, network: Network) -> LeadState:
        check_unbiased(self, self.compressor, x.shape[1])
        return LeadState(x.clone(), torch.zeros_like(x), Replica.start(x, self.compressor))

    def step(self, state: LeadState, sample: Sample, network: Network) -> None:
        state.x = self.descend(state, sample.gradient, learning_rate(self.lr, state.step), network)

    def descend(self, state: LeadState, gradient: Tensor, lr: float, network: Network) -> Tensor:
        """X - lr G - lr D, with the new D, (k, d)."""
        adapted = add_scaled(state.x, -lr, gradient)
        if state.step == 0:
            return adapted
        y = add_scaled(adapted, -self.dual_factor(lr), state.dual, out=adapted)
        replica = state.replica
        q, mixed_q = replica.exchange(y, self.compressor, network)
        pull = self.gamma / 2 * ((replica.public + q) - (replica.mixed + mixed_q))
        replica.take(self.alpha, q, mixed_q)
        if not vanishes(self.dual_factor(lr), pull.dtype):  # a schedule may end at 0, where only the averaging goes on
            add_scaled(state.dual, 1 / self.dual_factor(lr), pull, out=state.dual)
        return y - pull

    def dual_factor(self, lr: float) -> float:
        """What the stored dual is multiplied by where it enters the models."""
        return lr
