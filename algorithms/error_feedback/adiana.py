"""Accelerated DIANA: compressed differences of gradients, with Nesterov's acceleration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.averages import compressed_mean, compressed_mean_and_own
from algorithms.checks import check, positive
from algorithms.compressors import QSGD, Compressor
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.proximal import Proximal, check_prox, proximal_step
from algorithms.randomness import stream
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State

OF_ANCHOR = 0.5  # theta_2


@dataclass
class AdianaState(State):
    """What accelerated DIANA carries on; all rows of `x`, `model`, `momentum` and `anchor` are equal.

    Attributes:
        model: (k, d), y.
        momentum: (k, d), z.
        anchor: (k, d), w.
        anchor_gradient: (k, d), the gradients at w.
        shift: (k, d), h_i.
        mean_shift: (k, d), h, the mean of all h_i, in equal rows.
        remembered: What the compressor remembers of the differences at x and of those at w.
        probability: p.
        at_anchor: Whether the next gradient is wanted at w.
    """

    model: Tensor
    momentum: Tensor
    anchor: Tensor
    anchor_gradient: Tensor
    shift: Tensor
    mean_shift: Tensor
    remembered: tuple[Block | None, Block | None]
    probability: float
    at_anchor: bool = True


@dataclass(frozen=True)
class Adiana(Algorithm[AdianaState]):
    """ADIANA: DIANA with Nesterov's acceleration, whose shifts learn the gradients at an anchor that rarely moves.

    Li, Kovalev, Qian, Richtárik, "Acceleration for Compressed Gradient Descent in Distributed and Federated
    Optimization", ICML 2020, arXiv 2002.11364, where it is Algorithm 2.

    With y = z = w, the shifts h_i and their mean h, 0 at the start, and mu the strong convexity:

        x = theta_1 z + 1/2 w + (1/2 - theta_1) y
        m_i = C(grad_i(x) - h_i);   c_i = C(grad_i(w) - h_i);   y' = prox_{lr r}(x - lr (h + (1/n) sum_i m_i))
        h_i <- h_i + alpha c_i;   h <- h + alpha (1/n) sum_i c_i
        z <- beta z + (1 - beta) x + gamma / lr (y' - x);   w <- y with probability p;   y <- y'
        theta_1 = min(1/4, sqrt(lr mu / p));   gamma = lr / (2 (theta_1 + lr mu));   beta = 1 - gamma mu

    All nodes draw alike whether w moves. An iteration needs the gradients at x and at w. The latter are kept while w
    stays: a step here is an iteration with the gradients at x, or where w has moved, and at the start, computes the
    gradients there and sends nothing. So there are 1 + p gradients an iteration, and this is for exact ones, with which
    the model y converges linearly on strongly convex problems. For lr the paper has min(1/(2 L), n/(64 omega (2 p
    (omega + 1) + 1)^2 L)). A schedule acts on all that follows from lr, by steps.

    Sent: the two messages of each node, m_i and c_i, to all others; where the operator is linear averages in its domain
    (`algorithms.blocks.averages.compressed_mean`). All nodes start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C, unbiased with relative variance omega.
        strong_convexity: mu > 0, of the average loss.
        alpha: How fast the shifts learn, in (0, 1]; "theory" is 1/(1 + omega).
        probability: p, in (0, 1]; "theory" is min(1, max(1, sqrt(n/(32 omega)) - 1) / (2 (1 + omega))).
        prox: A regularizer r to be minimised along with the losses.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=lambda: QSGD(levels=4))
    strong_convexity: float = 0.01
    alpha: float | Literal["theory"] = "theory"
    probability: float | Literal["theory"] = "theory"
    prox: Proximal | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(positive(self.strong_convexity), self, "strong_convexity", "> 0")
        for name in ("alpha", "probability"):
            value = getattr(self, name)
            valid = value == "theory" or (isinstance(value, int | float) and 0 < value <= 1)
            check(valid, self, name, 'in (0, 1], or "theory"')
        check_prox(self, self.prox)

    @property
    def proportional(self) -> bool:
        return False  # theta_1, beta and gamma know the learning rate

    def start(self, x: Tensor, network: Network) -> AdianaState:
        check_unbiased(self, self.compressor, x.shape[1])
        mean = network.mean(x).repeat(len(x), 1)
        y, z, w = mean.clone(), mean.clone(), mean.clone()
        gradient, shift, mean_shift = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        remembered = self.compressor.start_like(x), self.compressor.start_like(x)
        probability = self._probability(x.shape[1], network.n)
        return AdianaState(mean, y, z, w, gradient, shift, mean_shift, remembered, probability)

    def step(self, state: AdianaState, sample: Sample, network: Network) -> None:
        lr, p = learning_rate(self.lr, state.step), state.probability
        theta = min(0.25, math.sqrt(lr * self.strong_convexity / p))
        if state.at_anchor:
            state.anchor_gradient, state.at_anchor = sample.gradient, False
        else:
            before = state.model
            self._iterate(state, sample.gradient, network, (lr, theta))
            state.at_anchor = stream(network.draw("coin").common).random() < p
            if state.at_anchor:
                state.anchor = before
        state.x = state.anchor.clone() if state.at_anchor else _point(state, theta)

    def _iterate(self, state: AdianaState, gradient: Tensor, network: Network, rates: tuple[float, float]) -> None:
        """All but the anchor's move, given lr and theta_1."""
        (lr, theta), (of_differences, of_shifts) = rates, state.remembered
        difference, draw = gradient - state.shift, network.draw("compression")
        mean = state.mean_shift + compressed_mean(difference, self.compressor, network, draw, of_differences)
        learnt, draw = state.anchor_gradient - state.shift, network.draw("shifts")
        mean_learnt, own = compressed_mean_and_own(learnt, self.compressor, network, draw, of_shifts)
        alpha, decay = self._alpha(state.x.shape[1]), lr * self.strong_convexity
        pull = 0.5 / (theta + decay) if theta > 0 else 0.0  # gamma / lr
        beta = 1 - pull * decay
        state.model = proximal_step(self.prox, add_scaled(state.x, -lr, mean), lr)
        momentum = beta * state.momentum + (1 - beta) * state.x
        state.momentum = momentum + pull * (state.model - state.x)
        state.shift = state.shift + alpha * own
        state.mean_shift = state.mean_shift + alpha * mean_learnt

    def model(self, state: AdianaState) -> Tensor:
        return state.model

    def chosen(self, state: AdianaState) -> dict[str, Any]:
        return {"alpha": self._alpha(state.x.shape[1]), "probability": state.probability}

    def _alpha(self, d: int) -> float:
        return 1 / (1 + self.compressor.omega(d)) if self.alpha == "theory" else float(self.alpha)

    def _probability(self, d: int, n: int) -> float:
        if self.probability != "theory":
            return float(self.probability)
        omega = self.compressor.omega(d)
        return min(1.0, max(1.0, math.sqrt(n / (32 * omega)) - 1) / (2 * (1 + omega))) if omega > 0 else 1.0


def _point(state: AdianaState, theta: float) -> Tensor:
    """x, where the next gradient is wanted but where w has moved."""
    anchored = theta * state.momentum + OF_ANCHOR * state.anchor
    return anchored + (1 - OF_ANCHOR - theta) * state.model
