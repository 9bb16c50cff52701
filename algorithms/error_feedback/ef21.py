"""EF21: compressed differences of gradients to estimates of them, for biased operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.averages import compressed_mean_and_own
from algorithms.checks import check
from algorithms.compressors import Compressor, TopK
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class Ef21State(State):
    """What EF21 carries on; all rows of `x` are equal.

    Attributes:
        smoothed: (k, d), v_i.
        estimate: (k, d), g_i.
        mean_estimate: (k, d), g, the mean of all g_i, in equal rows.
        remembered: What the compressor remembers of the differences; None if it does not.
        first: Whether no gradient has been seen.
    """

    past: ClassVar[tuple[str, ...]] = ("smoothed", "estimate", "mean_estimate")

    smoothed: Tensor
    estimate: Tensor
    mean_estimate: Tensor
    remembered: Block | None
    first: bool = True


@dataclass(frozen=True)
class Ef21(Algorithm[Ef21State]):
    """EF21: error feedback by estimates of the gradients that all know, which compressed differences bring up to date.

    Richtárik, Sokolov, Fatkhullin, "EF21: A New, Simpler, Theoretically Better, and Practically Faster Error Feedback",
    NeurIPS 2021, arXiv 2106.05203; with momentum Fatkhullin, Tyurin, Richtárik, "Momentum Provably Improves Error
    Feedback!", NeurIPS 2023, arXiv 2305.15155 (EF21-SGDM).

        v_i <- momentum v_i + (1 - momentum) grad_i(x), v_i = grad_i(x) in the first iteration
        c_i = C(v_i - g_i);   g_i <- g_i + c_i;   g <- g + (1/n) sum_i c_i;   x <- x - lr g

    In the first iteration g_i = v_i, sent uncompressed, as in the authors' code; or g_i is 0 before it, so that also
    the first message is compressed. With exact gradients there is no bias, whatever contraction C is. For lr see the
    paper: at most 1/(L + L' (2/alpha - 1)), where L' is the root mean square of the constants L_i of all nodes.

    Sent: each node's message to all others; where the operator is linear an average in its domain
    (`algorithms.blocks.averages.compressed_mean`). All nodes start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C, a contraction.
        momentum: The momentum, in [0, 1): 1 - eta of EF21-SGDM.
        dense_start: Whether the first gradients are sent uncompressed.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=lambda: TopK(fraction=0.01))
    momentum: float = 0.0
    dense_start: bool = True

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 <= self.momentum < 1, self, "momentum", "in [0, 1)")

    def start(self, x: Tensor, network: Network) -> Ef21State:
        check_contraction(self, self.compressor, x.shape[1])
        smoothed, estimate, mean = (torch.zeros_like(x) for _ in range(3))
        return Ef21State(network.mean(x).repeat(len(x), 1), smoothed, estimate, mean, self.compressor.start_like(x))

    def step(self, state: Ef21State, sample: Sample, network: Network) -> None:
        kept = 0.0 if state.first else self.momentum
        state.smoothed = add_scaled(kept * state.smoothed, 1 - kept, sample.gradient)
        if state.first and self.dense_start:
            mean, own = network.mean(state.smoothed), state.smoothed
        else:
            difference, draw = state.smoothed - state.estimate, network.draw("compression")
            mean, own = compressed_mean_and_own(difference, self.compressor, network, draw, state.remembered)
        state.first = False
        state.estimate = state.estimate + own
        state.mean_estimate = state.mean_estimate + mean
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), state.mean_estimate)
