"""Quasi-global momentum: the momentum buffer follows the movement of the averaged model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import check_momentum
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate, vanishes
from algorithms.state import State


@dataclass
class QuasiGlobalState(State):
    """The state of quasi-global momentum.

    Attributes:
        buffer: b, (k, d), in units of a gradient.
    """

    past: ClassVar[tuple[str, ...]] = ("buffer",)

    buffer: Tensor


@dataclass(frozen=True)
class QuasiGlobalMomentum(Algorithm[QuasiGlobalState]):
    """Quasi-global momentum: the momentum buffer follows the movement of the averaged model.

    Lin, Karimireddy, Stich, Jaggi, "Quasi-Global Momentum: Accelerating Decentralized Deep Learning on Heterogeneous
    Data", ICML 2021, arXiv 2102.04761 (QG-DSGDm and QG-DSGDm-N), as in the authors' code. With b_i = 0 at the start:

        m_i  = momentum b_i + g_i                         not kept
        x_i+ = sum_j w_ij (x_j - lr m_j)                  with Nesterov's variant g_j + momentum m_j in the place of m_j
        b_i  <- mu b_i + (1 - mu) (x_i - x_i+) / lr

    The movement is divided by the learning rate of its own iteration, so that b is a gradient, whatever the learning
    rate of the next one. An iteration whose learning rate is 0 leaves b as it is.

    Sent: one dense vector to each out-neighbour, per round.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: In [0, 1).
        mu: Weight of the past in the buffer, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.9
    mu: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)
        check(0 <= self.mu < 1, self, "mu", "in [0, 1)")

    def start(self, x: Tensor, network: Network) -> QuasiGlobalState:
        return QuasiGlobalState(x.clone(), torch.zeros_like(x))

    def step(self, state: QuasiGlobalState, sample: Sample, network: Network) -> None:
        lr = learning_rate(self.lr, state.step)
        direction = add_scaled(sample.gradient, self.momentum, state.buffer)
        if self.nesterov:
            direction = add_scaled(sample.gradient, self.momentum, direction)
        x = network.mix(add_scaled(state.x, -lr, direction))
        if not vanishes(lr, x.dtype):
            state.buffer = add_scaled(self.mu * state.buffer, (1 - self.mu) / lr, state.x - x)
        state.x = x
