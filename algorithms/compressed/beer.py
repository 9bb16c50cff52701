"""BEER: gradient tracking with compressed communication."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.replica import Replica
from algorithms.checks import check
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class BeerState(State):
    """What BEER carries on.

    Attributes:
        tracker: (k, d), V, whose mean over all nodes is that of the gradients.
        gradient: (k, d), the gradients that were added to it last.
        models: The public copies H of the models.
        trackers: The public copies T of the trackers.
    """

    tracker: Tensor
    gradient: Tensor
    models: Replica
    trackers: Replica


@dataclass(frozen=True)
class Beer(Algorithm[BeerState]):
    """BEER: gradient tracking with compressed communication.

    Zhao, Li, Li, Richtárik, Chi, "BEER: Fast O(1/T) Rate for Decentralized Nonconvex Optimization with Communication
    Compression", NeurIPS 2022, arXiv 2201.13320.

    With the trackers V, V_0 = G(X_0), and public copies H of the models and T of the trackers, both 0 at the start:

        X+ = X + gamma (W - I) H - lr V;                       H+ = H + C(X+ - H)
        V+ = V + gamma (W - I) T + G(X+) - G(X);               T+ = T + C(V+ - T)

    so the trackers' mean is always that of the gradients. G(X) is the gradient that was added the round before, not a
    new one. A node keeps W H and W T by mixing what is sent, so W must be the same in all rounds.

    Sent: two compressed vectors to each out-neighbour, per round, but one in the first. The gradient at X+ comes
    between them, so here a step begins with the second line and ends with the first.

    Without compression, and had H and T begun as X_0 and V_0, this would be gradient tracking with I + gamma (W - I).
    The theory is for a symmetric W, and large batches where gradients are stochastic; lr = O(gamma (spectral gap)^2 /
    L).

        >>> import torch
        >>> from algorithms import Beer, MatrixNetwork, Sample, TopK
        >>> algorithm = Beer(lr=0.1, gamma=0.4, compressor=TopK(k=1))
        >>> network = MatrixNetwork([[0.5, 0.5], [0.5, 0.5]])
        >>> optima = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
        >>> state = algorithm.start(torch.zeros(2, 2), network)
        >>> for _ in range(400):
        ...     algorithm.advance(state, Sample(gradient=state.x - optima, loss=torch.zeros(2)), network)
        >>> algorithm.model(state).round(decimals=3).tolist()
        [[1.0, 2.0], [1.0, 2.0]]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Consensus step size, in (0, 1]; smaller for stronger compression.
        compressor: The compression operator C, a contraction, for models and trackers.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "doubly_stochastic")

    lr: float | LearningRate = 0.1
    gamma: float = 0.3
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 < self.gamma <= 1, self, "gamma", "in (0, 1]")

    def start(self, x: Tensor, network: Network) -> BeerState:
        check_contraction(self, self.compressor, x.shape[1])
        models, trackers = (Replica.start(x, self.compressor) for _ in range(2))
        return BeerState(x.clone(), torch.zeros_like(x), torch.zeros_like(x), models, trackers)

    def step(self, state: BeerState, sample: Sample, network: Network) -> None:
        self._track(state, sample.gradient, network)
        x = add_scaled(state.x, self.gamma, state.models.disagreement())
        state.x = add_scaled(x, -learning_rate(self.lr, state.step), state.tracker, out=x)
        state.models.publish(state.x, self.compressor, network)
        state.models.hear(network)

    def _track(self, state: BeerState, gradient: Tensor, network: Network) -> None:
        """V+ and T+ from the gradient at X+; in the first step V_0, which is not sent."""
        tracker = add_scaled(state.tracker, self.gamma, state.trackers.disagreement())
        state.tracker = tracker + (gradient - state.gradient)
        state.gradient = gradient.clone()
        if state.step > 0:
            state.trackers.publish(state.tracker, self.compressor, network, purpose="tracking")
            state.trackers.hear(network)
