"""CSER: partial synchronization of gradients and models, with error reset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.averages import compressed_mean_and_own
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.compressors import Compressor, RandomBlock
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class CserState(State):
    """What CSER carries on; `x` are the local models.

    Attributes:
        error: (k, d), e_i: how far the local models are from what all have in common.
        momentum: Of each node's gradients.
        remembered: What the two operators remember, that of gradients and that of the reset.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    error: Tensor
    momentum: Momentum
    remembered: tuple[Block | None, Block | None]


@dataclass(frozen=True)
class Cser(Algorithm[CserState]):
    """CSER and M-CSER: SGD with partial synchronization and error reset.

    Xie, Zheng, Koyejo, Gupta, Li, Lin, "CSER: Communication-efficient SGD with Error Reset", NeurIPS 2020, arXiv
    2007.13221.

    A partial synchronization of vectors v_i averages what an operator leaves of them, and keeps the rest where it is:

        PSync(v_i, C) = (v'_i, r_i),   r_i = v_i - C(v_i),   v'_i = r_i + (1/n) sum_j C(v_j)

    With local models x_i, equal at the start, and e_i = 0:

        every iteration    (g'_i, r_i) = PSync(g_i(x_i), C2);   x_i <- x_i - lr g'_i;   e_i <- e_i - lr r_i
        every tau-th       (e'_i, r_i) = PSync(e_i, C1);   x_i <- x_i - e_i + e'_i;   e_i <- r_i

    What is not sent is not withheld but moves the local model at once. x_i - e_i is the same at all nodes, and the mean
    of all x_i moves as SGD would with these gradients. With C1 = Identity() and no C2 this is local SGD, with C2 =
    Identity() SGD, and without C2 and with tau = 1 the CSEA of the paper, without C2 otherwise its CSER-PL.

    With Nesterov's momentum, M-CSER, it is g_i + momentum v_i with v_i <- momentum v_i + g_i that is synchronized in
    the place of g_i; v_i stays local. The authors' released code differs in both: it averages blocks of the models
    themselves, after local steps with momentum.

    Sent: what C2 leaves in every iteration and what C1 leaves in every tau-th one, see
    `algorithms.blocks.averages.compressed_mean`: with `RandomBlock`, the paper's GRBS, these are all-reduces of blocks.
    All nodes start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: C2, of gradients, a contraction; None to send nothing of them.
        reset_compressor: C1, of the errors, a contraction.
        period: Iterations from one reset to the next, tau >= 1.
        momentum: Nesterov's momentum, before compression, in [0, 1).
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor | None = field(default_factory=lambda: RandomBlock(ratio=32))
    reset_compressor: Compressor = field(default_factory=lambda: RandomBlock(ratio=8))
    period: int = 4
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.period >= 1, self, "period", ">= 1")
        check_momentum(self, self.momentum)

    def start(self, x: Tensor, network: Network) -> CserState:
        of_gradients = None
        if self.compressor is not None:
            check_contraction(self, self.compressor, x.shape[1])
            of_gradients = self.compressor.start_like(x)
        check_contraction(self, self.reset_compressor, x.shape[1])
        remembered = of_gradients, self.reset_compressor.start_like(x)
        momentum = Momentum.start(x, self.momentum, nesterov=True)
        return CserState(network.mean(x).repeat(len(x), 1), torch.zeros_like(x), momentum, remembered)

    def step(self, state: CserState, sample: Sample, network: Network) -> None:
        lr, (of_gradients, of_errors) = learning_rate(self.lr, state.step), state.remembered
        synced = lost = state.momentum.descend(sample.gradient)
        if self.compressor is not None:
            synced, lost = psync(synced, self.compressor, network, "gradients", of_gradients)
        state.x = add_scaled(state.x, -lr, synced)
        state.error = add_scaled(state.error, -lr, lost)
        if (state.step + 1) % self.period == 0:
            synced, lost = psync(state.error, self.reset_compressor, network, "errors", of_errors)
            state.x = state.x - state.error + synced
            state.error = lost


def psync(
    value: Tensor, compressor: Compressor, network: Network, purpose: str, memory: Block | None
) -> tuple[Tensor, Tensor]:
    """A partial synchronization of vectors v (k, d): (v', r), both (k, d)."""
    mean, own = compressed_mean_and_own(value, compressor, network, network.draw(purpose), memory)
    lost = value - own
    return lost + mean, lost
