"""DIANA: compressed differences of gradients to shifts that learn them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.averages import compressed_mean_and_own
from algorithms.checks import check
from algorithms.compressors import QSGD, Compressor
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.proximal import Proximal, check_prox, proximal_step
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class DianaState(State):
    """What DIANA carries on; all rows of `x` are equal.

    Attributes:
        shift: (k, d), h_i.
        mean_shift: (k, d), h, the mean of all h_i, in equal rows.
        remembered: What the compressor remembers of the differences; None if it does not.
    """

    shift: Tensor
    mean_shift: Tensor
    remembered: Block | None


@dataclass(frozen=True)
class Diana(Algorithm[DianaState]):
    """DIANA: each node compresses the difference of its gradient to a shift, which comes to be the gradient.

    Mishchenko, Gorbunov, Takáč, Richtárik, "Distributed Learning with Compressed Gradient Differences", 2019, arXiv
    1901.09269.

    With the shifts h_i and their mean h, 0 at the start:

        m_i = C(g_i(x) - h_i);   x <- prox_{lr r}(x - lr (h + (1/n) sum_i m_i))
        h_i <- h_i + alpha m_i;   h <- h + alpha (1/n) sum_i m_i

    The shifts come to be the gradients at the optimum, so the noise of compression vanishes also where these differ
    between nodes; with exact gradients convergence is linear on strongly convex problems. For lr see the paper: with
    alpha = 1/(1 + omega), at most 1/(L (1 + 6 omega / n)).

    Sent: each node's message to all others; where the operator is linear an average in its domain
    (`algorithms.blocks.averages.compressed_mean`). All nodes start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C, unbiased with relative variance omega.
        alpha: How fast the shifts learn, in (0, 1]; "theory" is 1/(1 + omega).
        prox: A regularizer r to be minimised along with the losses.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=lambda: QSGD(levels=4))
    alpha: float | Literal["theory"] = "theory"
    prox: Proximal | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        valid = self.alpha == "theory" or (isinstance(self.alpha, int | float) and 0 < self.alpha <= 1)
        check(valid, self, "alpha", 'in (0, 1], or "theory"')
        check_prox(self, self.prox)

    def start(self, x: Tensor, network: Network) -> DianaState:
        check_unbiased(self, self.compressor, x.shape[1])
        shifts = torch.zeros_like(x), torch.zeros_like(x)
        return DianaState(network.mean(x).repeat(len(x), 1), *shifts, self.compressor.start_like(x))

    def step(self, state: DianaState, sample: Sample, network: Network) -> None:
        lr, alpha = learning_rate(self.lr, state.step), self._alpha(state)
        draw, difference = network.draw("compression"), sample.gradient - state.shift
        mean, own = compressed_mean_and_own(difference, self.compressor, network, draw, state.remembered)
        state.x = proximal_step(self.prox, add_scaled(state.x, -lr, state.mean_shift + mean), lr)
        state.shift = state.shift + alpha * own
        state.mean_shift = state.mean_shift + alpha * mean

    def chosen(self, state: DianaState) -> dict[str, Any]:
        return {"alpha": self._alpha(state)}

    def _alpha(self, state: DianaState) -> float:
        return 1 / (1 + self.compressor.omega(state.x.shape[1])) if self.alpha == "theory" else float(self.alpha)
