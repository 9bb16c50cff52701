"""Gradient tracking: every node descends along its estimate of the average gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.network import Network, Posted
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State

ORDERS = ("diging", "adapt-then-combine")


@dataclass
class GradientTrackingState(State):
    """The state of gradient tracking.

    Attributes:
        momentum: Of the tracked direction.
        tracker: y, (k, d), the estimate of the average gradient; None before the first iteration.
        gradient: (k, d), the gradient that was added to the tracker last; None before the first iteration.
        posted: x on its way to the neighbours; None where it is not.
        posted_tracker: y on its way to the neighbours; None where it is not.
    """

    momentum: Momentum
    tracker: Tensor | None = None
    gradient: Tensor | None = None
    posted: Posted[Tensor] | None = None
    posted_tracker: Posted[Tensor] | None = None


@dataclass(frozen=True)
class GradientTracking(Algorithm[GradientTrackingState]):
    """Gradient tracking: every node descends along its estimate of the average gradient.

    Nedić, Olshevsky, Shi, "Achieving Geometric Convergence for Distributed Optimization over Time-Varying Graphs", SIAM
    J. Optim. 27(4), 2017, arXiv 1607.03218 (DIGing); Qu & Li, "Harnessing Smoothness to Accelerate Distributed
    Optimization", IEEE TCNS 5(3), 2018, arXiv 1605.07112; with stochastic gradients Pu & Nedić, "Distributed Stochastic
    Gradient Tracking Methods", Math. Prog. 187, 2021, arXiv 1805.11454. With the tracker y_i = g_i at the start:

        diging               x+ = W x - lr y;      y+ = W y + g(x+) - g(x)
        adapt-then-combine   x+ = W (x - lr y);    y+ = W (y + g(x+) - g(x))

    What is subtracted is the very gradient that was added an iteration before, never one of x on new samples, so that
    the average of y over the nodes is that of the gradients, to rounding. Momentum is local and comes after the
    tracking: with v <- momentum v + y, v takes the place of y in the first equation (as y + momentum v does with
    Nesterov's variant).

    Sent: two dense vectors to each out-neighbour, per round, but one in the first, when y is not yet mixed. In DIGing's
    order both are known before the gradient is, so that they travel meanwhile.

    W must be doubly stochastic; it may be directed and vary. In iteration t = 0, 1, ... both x and the y of the
    iteration before are mixed by W_t, while the papers mix y with the x before; only so can they travel together. With
    the same W in all rounds there is no difference. The theory's learning rates are of the order (1 - rho)^2 / L, for
    the second largest eigenvalue modulus rho.

    Three nodes, where |x - c_i|^2 / 2 are least at different points, find the least point of the average:

        >>> network = MatrixNetwork([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
        >>> algorithm, centres = GradientTracking(lr=0.1), torch.tensor([[0.0], [4.0], [5.0]])
        >>> state = algorithm.start(torch.zeros(3, 1), network)
        >>> for _ in range(200):
        ...     algorithm.advance(state, Sample(state.x - centres, torch.zeros(3)), network)
        >>> algorithm.model(state).round(decimals=3).tolist()
        [[3.0], [3.0], [3.0]]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        order: "diging", in which messages travel while gradients are computed, or "adapt-then-combine".
        momentum: Momentum of the tracked direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    order: Literal["diging", "adapt-then-combine"] = "diging"
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> GradientTrackingState:
        return GradientTrackingState(x.clone(), Momentum.start(x, self.momentum, self.nesterov))

    def post(self, state: GradientTrackingState, network: Network) -> None:
        if self.order == "diging":
            if state.tracker is not None:
                state.posted_tracker = network.post(state.tracker)
            state.posted = network.post(state.x)

    def step(self, state: GradientTrackingState, sample: Sample, network: Network) -> None:
        state.tracker = self._track(state, sample.gradient, network)
        state.gradient = sample.gradient
        lr = learning_rate(self.lr, state.step)
        v = state.momentum.descend(state.tracker)
        if self.order == "diging":
            state.x, state.posted = network.mix(state.posted or state.x, plus=(-lr, v)), None
        else:
            state.x = network.mix(add_scaled(state.x, -lr, v))

    def _track(self, state: GradientTrackingState, gradient: Tensor, network: Network) -> Tensor:
        """The next y, (k, d)."""
        if state.tracker is None or state.gradient is None:
            return gradient
        change = gradient - state.gradient
        if self.order == "diging":
            posted, state.posted_tracker = state.posted_tracker, None
            return network.mix(posted or state.tracker, plus=(1.0, change))
        return network.mix(state.tracker + change)
