"""EXTRA: decentralized gradient descent with a correction that makes it exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.network import Network, Posted
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class ExtraState(State):
    """The state of EXTRA and of PG-EXTRA.

    Attributes:
        correction: c, (k, d), whose average over the nodes is 0.
        posted: x on its way to the neighbours; None where it is not.
    """

    correction: Tensor
    posted: Posted[Tensor] | None = None


@dataclass(frozen=True)
class Extra(Algorithm[ExtraState]):
    """EXTRA: decentralized gradient descent with a correction that makes it exact.

    Shi, Ling, Wu, Yin, "EXTRA: An Exact First-Order Algorithm for Decentralized Consensus Optimization", SIAM J. Optim.
    25(2), 2015, arXiv 1404.6264. With W' = (I + W) / 2, the paper's choice:

        x(1)   = W x(0) - lr g(0)
        x(t+1) = (I + W) x(t) - W' x(t-1) - lr (g(t) - g(t-1))

    Added up over t, this is x(t+1) = W x(t) - lr g(t) + c(t) with the correction

        c(0) = 0,    c(t+1) = c(t) + (W - I) x(t) / 2

    which is the form used here. It needs no gradient of the past, so that each comes with the learning rate of its own
    iteration: where that varies, the first form has lr_t g(t) - lr_(t-1) g(t-1). The average of c over the nodes is 0.

    Sent: one dense vector to each out-neighbour, per round, known before the gradient is, so that it travels meanwhile.

    W must be symmetric and the same in all rounds. The paper's range is lr < (1 + lambda) / L for the least eigenvalue
    lambda of W, > -1. On functions of one common curvature h it is stable exactly if lr h < (5 + 3 lambda) / 4.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "symmetric")

    lr: float | LearningRate = 0.1

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)

    def start(self, x: Tensor, network: Network) -> ExtraState:
        return ExtraState(x.clone(), torch.zeros_like(x))

    def post(self, state: ExtraState, network: Network) -> None:
        state.posted = network.post(state.x)

    def step(self, state: ExtraState, sample: Sample, network: Network) -> None:
        state.x = extra_step(state, learning_rate(self.lr, state.step), sample.gradient, network)


def extra_step(state: ExtraState, lr: float, gradient: Tensor, network: Network) -> Tensor:
    """W x - lr g + c, (k, d); then c <- c + (W - I) x / 2."""
    mixed = network.mix(state.posted or state.x)
    state.posted = None
    result = mixed - lr * gradient + state.correction
    state.correction = state.correction + (mixed - state.x) / 2
    return result
