"""MARINA: compressed differences of gradients from one point to the next, and full ones from time to time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.averages import compressed_mean
from algorithms.checks import check
from algorithms.compressors import Compressor, RandomK
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.randomness import stream
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class MarinaState(State):
    """What MARINA carries on; all rows of `x` are equal.

    Attributes:
        gradient: (k, d), those of the iteration before.
        estimate: (k, d), g, in equal rows.
        remembered: What the compressor remembers of the differences; None if it does not.
        first: Whether no gradient has been seen.
    """

    past: ClassVar[tuple[str, ...]] = ("estimate",)

    gradient: Tensor
    estimate: Tensor
    remembered: Block | None
    first: bool = True


@dataclass(frozen=True)
class Marina(Algorithm[MarinaState]):
    """MARINA: an estimate of the gradient that follows it by compressed differences, and is made anew now and then.

    Gorbunov, Burlachenko, Li, Richtárik, "MARINA: Faster Non-Convex Distributed Learning with Compression", ICML 2021,
    arXiv 2102.07845.

        g <- (1/n) sum_i grad_i(x)                                  in the first iteration, and then with probability p
        g <- g + (1/n) sum_i C(grad_i(x) - grad_i(x'))              otherwise, x' being the point before
        x <- x - lr g

    All nodes draw the same. The gradients of x' are those of the iteration before, so this is for exact gradients:
    differences of gradients on other examples would add up their noise. For lr see the paper: at most
    1/(L (1 + sqrt((1 - p) omega / (p n)))); with correlated operators such as `PermK` more.

    Sent: a dense vector along the tree of `network.mean` in the first case; else each node's message to all others, or
    where the operator is linear an average in its domain (`algorithms.blocks.averages.compressed_mean`). All nodes
    start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C, unbiased with relative variance omega.
        probability: p, in (0, 1]; "theory" is 1/(1 + omega), for which both cases cost about the same.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=lambda: RandomK(fraction=0.01, unbiased=True, common=True))
    probability: float | Literal["theory"] = "theory"

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        valid = self.probability == "theory" or (
            isinstance(self.probability, int | float) and 0 < self.probability <= 1
        )
        check(valid, self, "probability", 'in (0, 1], or "theory"')

    def start(self, x: Tensor, network: Network) -> MarinaState:
        check_unbiased(self, self.compressor, x.shape[1])
        nothing = torch.zeros_like(x), torch.zeros_like(x)
        return MarinaState(network.mean(x).repeat(len(x), 1), *nothing, self.compressor.start_like(x))

    def step(self, state: MarinaState, sample: Sample, network: Network) -> None:
        coin = stream(network.draw("coin").common).random()
        if state.first or coin < self._probability(state):
            state.estimate = network.mean(sample.gradient).repeat(len(state.x), 1)
        else:
            difference, draw = sample.gradient - state.gradient, network.draw("compression")
            mean = compressed_mean(difference, self.compressor, network, draw, state.remembered)
            state.estimate = state.estimate + mean
        state.gradient, state.first = sample.gradient, False
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), state.estimate)

    def chosen(self, state: MarinaState) -> dict[str, Any]:
        return {"probability": self._probability(state)}

    def _probability(self, state: MarinaState) -> float:
        if self.probability != "theory":
            return float(self.probability)
        return 1 / (1 + self.compressor.omega(state.x.shape[1]))
